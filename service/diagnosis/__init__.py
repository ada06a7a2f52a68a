"""What an installation lacks, told before somebody notices."""
