"""The thresholds that a user's file cannot replace, since saved records were made with them.

They decide how traces and readings are read, which predictions are believed and which measurements are trusted. Each
file holds those of one subject. The string below each number says what it means and where it comes from; a number
without a source was chosen for gpuprobe. `gpuprobe diagnose --list-thresholds` prints all of them.
"""

from gpuprobe.thresholds.fixed.breakdown import *
from gpuprobe.thresholds.fixed.diagnosis import *
from gpuprobe.thresholds.fixed.evidence import *
from gpuprobe.thresholds.fixed.replay import *
from gpuprobe.thresholds.fixed.studies import *
