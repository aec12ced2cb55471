"""A volume reached through S3: the view of one that nobody has to mount.

    place.py      where a volume is: `s3://VOLUME_ID`, and the endpoint of its data center
    keys.py       who asks: the pair of keys that signs requests
    settings.py   all of that and how long to wait, as one value
    client.py     the two calls that are made, HeadObject and GetObject
    answer.py     what a server says of an object, judged
    body.py       its bytes as they come
    breaker.py    whether the server gives anything at all
    faults.py     what goes wrong, as the error tree says it
    file.py       one open file
    view.py       the view

The only package that knows boto3, which is imported when a view is opened. Nothing is ever listed: RunPod takes
minutes over a listing, since it computes the MD5 of each file (docs.runpod.io, S3-compatible API).
"""

from __future__ import annotations

from provision.volume.s3.keys import Keys, keys_from
from provision.volume.s3.place import DATACENTERS, Endpoint, Place, endpoint_of, parse_place
from provision.volume.s3.settings import S3Settings, settings_from
from provision.volume.s3.view import S3View

__all__ = [
    "DATACENTERS",
    "Endpoint",
    "Keys",
    "Place",
    "S3Settings",
    "S3View",
    "endpoint_of",
    "keys_from",
    "parse_place",
    "settings_from",
]
