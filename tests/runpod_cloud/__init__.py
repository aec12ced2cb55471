"""A stand-in for RunPod on 127.0.0.1: its GraphQL, its REST v2, its proxy, and pods that really run.

    with RunPodCloud() as cloud:
        volume = cloud.create_volume(datacenter="EU-RO-1")
        subprocess.run([...], env={**os.environ, **cloud.environment})
        cloud.assert_clean()

What is kept faithful: the shapes that are published or that RunPod's SDKs send, the rules of strings, what is refused
and how, the restart loop, the variables that a pod finds, the proxy's moods, the money. What cannot be:

A pod shares this machine: its command is run as it is, without an image, as a process with a HOME and TMPDIR of its
own (the container's disk, the same over restarts). The volume is a folder, so that in the pod's environment and command
each value that is the mount path, or a path below it, is changed into the folder; `PROVISION_MOUNT=folder` says that it
is no mount point; `PROVISION_STATUS_PORT` is a free port of this machine, and the proxy knows it as the port that was
asked for; `RUNPOD_API_BASE_URL` is the stand-in. `cloud.image` adds what an image would set.

machines     the catalog           graphql      the language
volumes      folders               schema       the part of RunPod's schema that is known
environment  a pod's variables     queries      GraphQL
container    its processes         shapes       v2's request bodies
logs         what they print       rest         REST v2
pods         a pod as each API     answers      answers and refusals
             tells it              faults       the chaos dial
account      rules, money          server       HTTP, the proxy
                                   cloud        RunPodCloud
"""

from runpod_cloud.account import Charge
from runpod_cloud.cloud import RunPodCloud
from runpod_cloud.container import Timing
from runpod_cloud.faults import Fault
from runpod_cloud.pods import Pod
from runpod_cloud.server import Request
from runpod_cloud.volumes import Volume

__all__ = ["Charge", "Fault", "Pod", "Request", "RunPodCloud", "Timing", "Volume"]
