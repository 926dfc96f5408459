"""OpenCLIP: its folders and checkpoints as models here, and models here as its folders."""
