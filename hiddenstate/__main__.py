from hiddenstate.cli import main

main()
