"""A trained denoiser: what it says of itself, its file, and how it runs."""
