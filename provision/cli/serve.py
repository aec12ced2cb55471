"""`provision serve`."""

from __future__ import annotations

from pathlib import Path

import click

from provision.cli import console

PORT = click.IntRange(0, 65_535)


@click.command("serve")
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=PORT, default=8090, show_default=True, help="The hubs' port; 0 takes a free one.")
@click.option(
    "--cdn-port", type=PORT, default=0, show_default=True, help="The port large files are served from; 0: a free one."
)
@click.option("--token", envvar="PROVISION_SERVE_TOKEN", help="Ask for this token. [default: none, anyone may read]")
def command(directory: Path, host: str, port: int, cdn_port: int, token: str | None) -> None:
    """Serve a folder as a Hugging Face and a ModelScope hub.

    Repositories are DIR/hf/ORG/NAME and DIR/modelscope/OWNER/NAME, plain files in each. The hubs' own clients fetch
    from it: set HF_ENDPOINT or MODELSCOPE_ENDPOINT to the address that is printed. Needs the extra `serve`.
    """
    from provision.serve import serve

    def announce(endpoint: str, cdn: str) -> None:
        console.out(f"HF_ENDPOINT={endpoint}\nMODELSCOPE_ENDPOINT={endpoint}")
        console.say(f"serving {directory}; large files come from {cdn}; Ctrl-C ends it")

    try:
        serve(directory, host=host, port=port, cdn_port=cdn_port, token=token, announce=announce)
    except KeyboardInterrupt:
        console.say("stopped")  # the proper end of a server
