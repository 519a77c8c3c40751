"""`slipstream-engine train-tiny`: how the embedded default model is trained.

command.py                          the command
stages.py, plan.py                  its stages, and how long each one trains
durations.py                        how long each stage took
data.py, scenes.py, sources.py      clips and their stylised targets
styles.py, brushes.py, colours.py   the image operations that make the targets
phrases.py, text.py                 words of the styles, and the text encoder
codec.py, latents.py                the codec, and the clips as latents
dit.py, batches.py, losses.py       the transformer
fit.py                              the training loop
evaluate.py, report.py              scores, and the model card
picture_quality.py, quality.py, quality_report.py   blocks and motion, and their section of the card
examine.py, ablation.py, drift.py, trend.py   how finished weights behave in streams
"""
