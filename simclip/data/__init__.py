"""From TSV files and image folders to token ids and pixels."""
