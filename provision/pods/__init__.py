"""Pods: rented, put to work on a volume, watched, and always given back.

cloud        the protocol of whoever rents pods and keeps volumes
runpod       RunPod
local        this machine: a process for a pod, a folder for a volume
choice       which machines to try, in which order
sizing       how large a volume has to be
lease        the name of a rented pod: whose it is, when it has to be gone
job          what a pod has to do, and how that travels
errand       a job, its volume, and all that a pod for it is made of
rental       a pod is rented, somebody works with it, and it is given back
returning    giving back: delete, look, and again
interrupts   signals, which do not tear a rental apart
fleet        several errands at once, and one answer when somebody interrupts
carrying     an errand carried out: rent, watch, bring back the result, give back
watching     what a pod says of itself, until its job has ended or it is lost
ways         how it can be heard: its address, its log, what it leaves on the volume
mirror       its progress, shown here
status       what it says of itself, as one document
attendant    the one in the pod: runs the commands, serves their progress, keeps the marker on the volume
result       what came of a job, read as a document from outside
proof        that, written beside the manifest
bill         minutes and money, estimated before and stated after
"""
