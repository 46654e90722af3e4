"""Docker or Finch, as the SAM CLI finds them: its own code is asked, so that what it says here is what `sam local` meets."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import Any

import docker
import requests
from samcli.local.docker.container_client_factory import ContainerClientFactory
from samcli.local.docker.exceptions import ContainerEnforcementException, ContainerNotReachableException

from places import ARCHITECTURE, BUILD
from problem import Problem

# The name under which a container reaches this machine: Docker Desktop and Finch know it, and Docker on Linux is told by
# `--add-host`.
HOST = "host.docker.internal"
HOST_GATEWAY = f"{HOST}:host-gateway"


class Containers:
    """The engine that runs containers."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def find(cls) -> Containers | None:
        """The engine that `sam local` would use; none if none answers."""
        with contextlib.suppress(ContainerNotReachableException, ContainerEnforcementException):
            return cls(ContainerClientFactory.create_client())
        return None

    def own_address(self) -> str | None:
        """The address of this machine that containers reach; none if the engine passes them on to the loopback interface."""
        try:
            [settings, *_] = self._client.networks.get("bridge").attrs["IPAM"]["Config"]
        except (docker.errors.DockerException, requests.RequestException, KeyError, TypeError, ValueError):
            return None
        # Docker on Linux leaves the gateway out until the first container has run. It is the network's first address.
        address = settings.get("Gateway") or str(next(ipaddress.ip_network(settings["Subnet"]).hosts()))
        # Docker Desktop and Finch run in a virtual machine, whose address this is then.
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind((address, 0))
            return address
        return None

    def require_image(self, runtime: str) -> None:
        """Pulls the image in which `sam local` runs functions, unless it is there."""
        image = f"public.ecr.aws/lambda/{runtime.replace('.', ':')}-{ARCHITECTURE}"
        try:
            self._client.images.get(image)
        except docker.errors.NotFound:
            print(f"Pulling {image}", flush=True)
            try:
                self._client.images.pull(image)
            except (docker.errors.DockerException, requests.RequestException) as error:
                raise Problem(
                    f"`sam local` needs the image {image}, which cannot be pulled ({_reason(error)}); once `docker pull` "
                    "gets it, run `make local-aws` again."
                ) from None

    def remove_functions(self) -> int:
        """Removes the containers of this checkout's functions, which a killed `sam local` leaves behind; returns their
        number."""
        ours = [
            container
            for container in self._client.containers.list(all=True)
            if any(mount.get("Source", "").startswith(f"{BUILD}/") for mount in container.attrs.get("Mounts", []))
        ]
        for container in ours:
            container.remove(force=True)
        return len(ours)


def _reason(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error).rstrip(".")
