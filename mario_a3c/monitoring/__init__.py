"""What a run shows, in TensorBoard, on the terminal and in its log."""
