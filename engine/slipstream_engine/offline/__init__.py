"""`slipstream-engine v2v`: a video file through the pipeline that serves cameras.

v2v.py               the command
video_reader.py      decodes, checks and scales a file's frames
video_writer.py      encodes new frames, copies audio
video_metrics.py     compares two files: PSNR, SSIM, warp error, flicker
"""
