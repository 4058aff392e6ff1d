"""The console command's subcommands, one module each; imported only when asked for."""
