"""The tab GPUPROBE of TensorBoard: verdict, breakdown and step page of every trace in a log folder."""
