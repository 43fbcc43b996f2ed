"""``sensorflow up``: all of SensorFlow as child processes of one supervisor."""
