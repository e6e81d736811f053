"""Entry points: flags in, one library call, one clear line on bad input."""
