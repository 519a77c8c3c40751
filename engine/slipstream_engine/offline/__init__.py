"""`slipstream-engine v2v`: a video file through the pipeline that serves the camera."""
