"""Large networks whose answers are training targets; they run wherever torch is."""
