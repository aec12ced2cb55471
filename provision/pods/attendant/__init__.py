"""The attendant: runs the commands of a job in the pod, serves how they stand, keeps a marker on the volume.

duty       what it is given
attendance what it does with that, from the first command to the last reader
commands   the commands of a job, as processes
term       how long there is until the deadline
voice      lines for the log
account    how the job stands, for whoever asks
pace       bytes a second, of late
outcome    what came of the commands, as one result
marker     what the volume keeps of a job
service    all this by HTTP
page.html  for people
"""
