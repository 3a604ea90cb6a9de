"""What runs on the user's machine: start a training job on SageMaker, deploy its model, transform in batch.

    estimator.py      SageMaker SDK v2 (`sagemaker>=2.257,<3`): Estimator.fit, deploy, batch transform
    model_trainer.py  SageMaker SDK v3: ModelTrainer
    metrics.py        which numbers SageMaker reads from the log, for both
    job.py            what both need to know about a job

The SDK never enters an image (design rule 7); the two versions exclude each other, so each has a lock file of its own
(docker/locks/launch-sdk2.txt, launch-sdk3.txt). Both have a local mode that runs the same images with Docker.
"""
