"""`slipstream-engine v2v`: a video file through the pipeline that serves cameras.

v2v.py               the command
video_reader.py      decodes, checks and scales a file's frames
tracks.py            which tracks of a file are its film
frame_times.py       times where a file has none, or begins anew
damage.py            counts what is damaged
file_end.py          what a kind of file tells of its times and its end
deinterlacer.py      whole frames of interlaced ones
frame_scaler.py      frames of the model's size and colours
tone_map.py          high dynamic range for a screen
video_writer.py      encodes new frames, adds the sound
sound.py             copies sound, or converts what the new file cannot hold
video_metrics.py     compares two files: PSNR, SSIM, warp error, flicker
"""
