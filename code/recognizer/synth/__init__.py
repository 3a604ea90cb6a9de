"""The embedded data set: formulas from a grammar, drawn by real math renderers, photographed by simulation.

`grammar` makes formulas, `style` (with `mathjax`, `mathtext`) draws them, `degrade` photographs them, `dataset` writes
them in the competition's format; `augment` varies pictures at training time. Nothing is imported here: a training
worker that needs `augment` loads neither V8 nor albumentations.
"""
