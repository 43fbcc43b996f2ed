"""What ``sensorflow doctor`` looks at, one module a part. Nothing here writes to what it looks at."""
