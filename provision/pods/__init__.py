"""Pods: rented, put to work on a volume, watched, and always given back.

cloud        the protocol of whoever rents pods and keeps volumes
runpod       RunPod
local        this machine: a process for a pod, a folder for a volume
choice       which machines to try, in which order
lease        the name of a rented pod: whose it is, when it has to be gone
job          what a pod has to do, and how that travels
rental       rent, watch, bring back the result, give back
watching     what a pod says of itself, by whichever way it can be had
status       that, as one document
attendant    the one in the pod: runs the commands, serves their progress, keeps the marker on the volume
bill         minutes and money, estimated before and stated after
result       what came of it: the proof, written beside the manifest
"""
