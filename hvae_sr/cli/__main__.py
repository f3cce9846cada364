from hvae_sr.cli import main

main()
