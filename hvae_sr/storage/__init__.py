"""What models are kept as: config and weights in a folder, cards, and the hub's client."""
