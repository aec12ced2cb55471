"""The stand-in's pods: real processes, what they find, their restart loop, their logs, and the proxy before them."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from runpod_bed import USER_AGENT, ask, order, query, rent, until
from runpod_cloud import RunPodCloud, Timing

SERVE = f"exec {sys.executable} -m http.server --bind 127.0.0.1 $PROVISION_STATUS_PORT"


@pytest.fixture
def cloud():
    with RunPodCloud() as cloud:
        cloud.dials.timing = Timing(restart=0.02, grace=0.2)
        yield cloud


def printed(cloud: RunPodCloud, pod: str) -> str:
    return cloud.account.pod(pod).container.log.text


def test_a_pod_finds_what_runpod_and_its_user_set(cloud):
    volume = cloud.create_volume()
    cloud.account.secrets["token"] = "hf_real"
    user = {
        "MINE": "a b", "RUNPOD_API_KEY": "mine", "HF_TOKEN": "{{ RUNPOD_SECRET_token }}", "MODELS": "/workspace/models",
        "NEAR": "/workspace2", "GONE": "{{ RUNPOD_SECRET_none }}", "PROVISION_STATUS_PORT": "8000",
    }  # fmt: skip
    pod = rent(cloud, volume.id, sh="env -0 | tr '\\0' '\\n'; pwd; echo end; exec sleep 100", env=user)
    until(lambda: "end\n" in printed(cloud, pod))
    found = dict(line.split("=", 1) for line in printed(cloud, pod).splitlines() if "=" in line)

    assert found["RUNPOD_API_KEY"] not in ("mine", "rpa_KEY")
    assert found["HF_TOKEN"] == "hf_real"
    assert (found["MINE"], found["NEAR"], found["GONE"]) == ("a b", "/workspace2", "{{ RUNPOD_SECRET_none }}")
    assert found["MODELS"] == f"{volume.folder}/models"
    assert (found["RUNPOD_POD_ID"], found["RUNPOD_VOLUME_ID"], found["RUNPOD_DC_ID"]) == (pod, volume.id, "EU-RO-1")
    assert (found["PROVISION_MOUNT"], found["RUNPOD_API_BASE_URL"]) == ("folder", cloud.url)
    assert 20000 <= int(found["PROVISION_STATUS_PORT"]) < 32000
    assert found["HOME"] != os.environ["HOME"]
    assert ask(cloud, "GET", f"/v2/pods/{pod}").json["env"] == user


def test_a_command_is_words_or_a_document_and_never_a_shells(cloud):
    def line(args: str) -> str:
        pod = rent(cloud, args=args)
        until(lambda: cloud.account.pod(pod).container.exits)
        told = printed(cloud, pod).splitlines()[0]
        ask(cloud, "DELETE", f"/v2/pods/{pod}")
        return told

    assert line("echo $HOME 'a  b' \"c\" && x") == "$HOME a  b c && x"
    assert line(json.dumps({"entrypoint": ["sh", "-c"], "cmd": ["echo $((1 + 1))"]})) == "2"
    assert line(json.dumps({"cmd": ["echo", '{"a": "b"}']})) == '{"a": "b"}'


def test_a_command_that_cannot_start_leaves_a_pod_that_never_comes_up_and_costs(cloud):
    pod = rent(cloud, args="no-such-program 'x'")
    log = cloud.account.pod(pod).container.log
    until(lambda: sum("failed to create task" in line.text for line in list(log.lines)) > 1)

    told = ask(cloud, "GET", f"/v2/pods/{pod}").json
    assert (told["status"], told["runtime"], told["cost"]) == ("RUNNING", None, 0.06)


def test_a_container_that_ends_is_started_again_on_the_same_disk_and_goes_on_costing(cloud):
    pod = rent(cloud, sh='echo x >> "$HOME/starts"; wc -l < "$HOME/starts"; exit 3')
    container = cloud.account.pod(pod).container
    until(lambda: len(container.exits) >= 3)

    assert container.exits[:3] == [3, 3, 3]
    assert printed(cloud, pod).split()[:3] == ["1", "2", "3"]
    assert ask(cloud, "GET", f"/v2/pods/{pod}").json["status"] == "RUNNING"
    ask(cloud, "DELETE", f"/v2/pods/{pod}")
    until(container.ended.is_set)
    count = len(container.exits)
    assert cloud.bill()[0].seconds > 0
    cloud.assert_clean()
    assert len(container.exits) == count


def test_nothing_of_a_container_outlives_it_not_even_what_ignores_signals_in_a_session_of_its_own(cloud):
    pod = rent(
        cloud, sh='trap "" TERM; setsid sleep 100 & env -i sleep 100 & echo up; until [ -e end ]; do sleep 0.01; done'
    )
    until(lambda: "up" in printed(cloud, pod))
    until(lambda: len(cloud.alive().get(pod, [])) >= 3)
    (cloud.account.pod(pod).container.folder / "end").touch()
    until(lambda: cloud.account.pod(pod).container.exits)
    with pytest.raises(AssertionError, match="still rented"):
        cloud.assert_clean()

    ask(cloud, "DELETE", f"/v2/pods/{pod}")
    assert ask(cloud, "GET", f"/v2/pods/{pod}").status == 404
    cloud.assert_clean()


def test_a_pod_that_is_given_back_has_its_grace_to_tidy_up(cloud):
    volume = cloud.create_volume()
    pod = rent(cloud, volume.id, sh="trap 'echo bye > /dev/stdout; exit 0' TERM; echo up; while :; do sleep 0.01; done")
    container = cloud.account.pod(pod).container
    until(lambda: "up" in container.log.text)
    ask(cloud, "POST", f"/v2/pods/{pod}/action", {"action": "terminate"})
    until(container.ended.is_set)
    assert "bye" in container.log.text


def test_closing_leaves_no_process_and_no_folder():
    with RunPodCloud() as cloud:
        pod = rent(cloud, sh='trap "" TERM; sleep 1000 & echo up; wait; wait')
        until(lambda: "up" in printed(cloud, pod))
        processes, folder = cloud.alive()[pod], cloud.folder
    assert len(processes) == 2
    assert not any(Path(f"/proc/{process}/exe").exists() for process in processes)
    assert not folder.exists()


def test_a_pods_own_key_gives_back_itself_and_does_nothing_else(cloud):
    first, second = rent(cloud), rent(cloud)
    key = cloud.account.pod(first).key

    for method, path in [("GET", "/v2/pods"), ("GET", f"/v2/pods/{first}"), ("DELETE", f"/v2/pods/{second}")]:
        assert ask(cloud, method, path, key=key).status == 403
    assert ask(cloud, "POST", "/v2/pods", order(), key=key).status == 403
    assert query(cloud, "{ myself { id } }", key=key).json["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    other = f'mutation {{ podTerminate(input: {{podId: "{second}"}}) }}'
    assert query(cloud, other, key=key).json["errors"]
    both = f'mutation {{ a: podTerminate(input: {{podId: "{first}"}}) b: podTerminate(input: {{podId: "{second}"}}) }}'
    assert query(cloud, both, key=key).json["errors"]
    assert len(cloud.pods) == 2

    own = "mutation($id: String!) { podTerminate(input: {podId: $id}) }"
    assert query(cloud, own, key=key, id=first).json == {"data": {"podTerminate": None}}
    assert ask(cloud, "DELETE", f"/v2/pods/{first}", key=key).status == 404
    assert ask(cloud, "DELETE", f"/v2/pods/{second}", key=cloud.account.pod(second).key).status == 204


def test_a_pod_can_give_itself_back(cloud):
    curl = (
        f"{sys.executable} -c 'import os, urllib.request as u; "
        'u.urlopen(u.Request(os.environ["RUNPOD_API_BASE_URL"] + "/v2/pods/" + os.environ["RUNPOD_POD_ID"], '
        'method="DELETE", '
        'headers={"Authorization": "Bearer " + os.environ["RUNPOD_API_KEY"], "User-Agent": "mine/1"}))\''
    )
    rent(cloud, sh=f"{curl}; exec sleep 100")
    until(lambda: not cloud.pods)
    [request] = cloud.asked("deletePod")
    until(lambda: request.status)  # the pod is gone before it is answered
    assert (request.by, request.status) == ("pod", 204)
    cloud.assert_clean()


def test_runtime_is_told_only_a_while_after_the_first_process(cloud):
    cloud.dials.timing = Timing(start=0.1)
    cloud.dials.runtime_seconds = 0.1
    cloud.dials.status_at_first = "RUNNING"
    began = time.monotonic()
    pod = rent(cloud)
    told = until(lambda: (said := ask(cloud, "GET", f"/v2/pods/{pod}").json)["runtime"] and said)
    assert time.monotonic() - began >= 0.2
    assert told["runtime"]["ports"][0]["private"] == 8000


def test_a_deleted_pod_may_be_told_of_for_a_while(cloud):
    cloud.dials.gone_seconds = 0.2
    pod = rent(cloud)
    ask(cloud, "DELETE", f"/v2/pods/{pod}")
    assert ask(cloud, "GET", f"/v2/pods/{pod}").json["status"] == "TERMINATED"
    until(lambda: ask(cloud, "GET", f"/v2/pods/{pod}").status == 404)


def test_the_proxy_knows_the_port_that_was_asked_for(cloud):
    pod = rent(cloud, sh=f"echo body > here.txt; {SERVE}")
    address = f"/proxy/{pod}/8000"
    assert ask(cloud, "GET", f"{address}/here.txt").status in (200, 502)
    told = until(lambda: (said := ask(cloud, "GET", f"{address}/here.txt")).status == 200 and said)
    assert (told.body, told.headers["content-type"]) == (b"body\n", "text/plain")
    assert ask(cloud, "POST", f"{address}/", {"a": 1}).status == 501  # the pod's own refusal
    assert ask(cloud, "GET", f"/proxy/{pod}/8001/").status == 404
    assert ask(cloud, "GET", "/proxy/nobody/8000/").status == 404
    assert cloud.pod_url.format(pod=pod, port=8000) == f"{cloud.url}{address}"


def test_the_proxys_moods(cloud):
    cloud.dials.edge_seconds = 0.2
    pod = rent(cloud)
    told = ask(cloud, "GET", f"/proxy/{pod}/8000/")
    assert (told.status, told.headers["content-type"]) == (404, "text/html; charset=UTF-8")
    until(lambda: ask(cloud, "GET", f"/proxy/{pod}/8000/").status == 502)  # nobody listens in it

    cloud.dials.proxy_seconds = 0.1
    deaf = "import os, socket, time; s = socket.create_server(('127.0.0.1', int(os.environ['PROVISION_STATUS_PORT'])));"
    pod = rent(cloud, sh=f'exec {sys.executable} -c "{deaf} time.sleep(100)"')
    until(lambda: ask(cloud, "GET", f"/proxy/{pod}/8000/").status == 524)


class Stream:
    """A log that is read as it comes."""

    def __init__(self, cloud: RunPodCloud, pod: str, query: str = "", **headers: str) -> None:
        self.line = http.client.HTTPConnection(urlsplit(cloud.url).netloc, timeout=10)
        sent = {"User-Agent": USER_AGENT, "Authorization": "Bearer rpa_KEY", **headers}
        self.line.request("GET", f"/v2/pods/{pod}/logs?{query}", headers=sent)
        self.answer = self.line.getresponse()
        assert self.answer.getheader("Content-Type") == "text/event-stream"

    def next(self) -> tuple[str, dict[str, str]]:
        name = ""
        while True:
            line = self.answer.readline().decode().rstrip("\n")
            if line.startswith("id: "):
                name = line[4:]
            if line.startswith("data: "):
                return name, json.loads(line[6:])


def test_the_log_comes_as_it_is_printed_and_goes_on_where_one_left_off(cloud):
    pod = rent(
        cloud,
        sh='for i in 1 2 3; do echo "line $i"; done; until [ -e more ]; do sleep 0.01; done; echo 4; exec sleep 100',
    )
    container = cloud.account.pod(pod).container
    until(lambda: "line 3" in container.log.text)

    stream = Stream(cloud, pod, "source=container&tail=2")
    (second, data), (third, _) = stream.next(), stream.next()
    assert data.keys() == {"ts", "source", "line"}
    assert (data["line"], data["source"], second.partition("/")[0]) == ("line 2", "container", data["ts"])
    (container.folder / "more").touch()
    assert stream.next()[1]["line"] == "4"

    again = Stream(cloud, pod, "source=container", **{"Last-Event-ID": third})
    assert again.next()[1]["line"] == "4"
    since = Stream(cloud, pod, f"source=container&tail=0&since={data['ts']}")
    assert since.next()[1]["line"] == "line 2"
    assert Stream(cloud, pod, "source=system").next()[1]["line"] == "create container"
    assert ask(cloud, "GET", f"/v2/pods/{pod}/logs?tail=5001").status == 422
    assert ask(cloud, "GET", "/v2/pods/nobody/logs").status == 404
    for one in (stream, again, since):
        one.line.close()


def test_the_package_needs_nothing_but_python(tmp_path):
    code = "from runpod_cloud import RunPodCloud\nwith RunPodCloud() as cloud: print(cloud.environment)"
    here = str(Path(__file__).parent)
    bare = [sys.executable, "-S", "-E", "-c", f"import sys; sys.path.insert(0, {here!r})\n{code}"]
    told = subprocess.run(bare, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert "RUNPOD_API_BASE_URL" in told
