"""Trainings and results where people look at them beside others: TensorBoard and MLflow. Stages know nothing of it.

options            the `logging` section of the config, and what it needs installed
contract           what a log is, and what it is told
curves             what a run's events say of its trainings, told to every log once
tensorboard_files  TensorBoard's event files
mlflow_runs        MLflow's runs; sent from a thread of their own
  sender           calls of a server, made in their order, again where it does not answer
  mlflow_server    the server, as MLflow's client knows it

No log ever stops a run: what one could not take is told as a warning.
"""

from pipeline.tracking.contract import Log, Point
from pipeline.tracking.curves import Tracking
from pipeline.tracking.options import LoggingOptions, MlflowOptions, missing_extras

__all__ = ["Log", "LoggingOptions", "MlflowOptions", "Point", "Tracking", "missing_extras"]
