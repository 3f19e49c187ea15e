"""Drawing for people who look at an answer: the score curve as SVG, boxes and crops of pictures, JPEG."""
