"""What is deployed: images, scripts and the files of each platform."""
