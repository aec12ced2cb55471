"""The whole story on one machine: real weights, a hub that is killed, resumed, damaged and repaired. Every claim is
computed from the run; one that does not hold ends the demo as a fault.

story      the chapters, in order
chapters   what is done and claimed in each
pods       the chapter of the pod
scene      what every chapter is handed: folders, hub, commands, voice
material   the weights: real where they can be had, made here where not
packages   real weights inside published Python packages, read as zip files
pip        how the packages are fetched
synthetic  a legal safetensors file of no meaning
hub        the served folder, with a count of what left it
commands   the real command line, run as a user runs it
voice      prose, commands, their output, and claims
"""
