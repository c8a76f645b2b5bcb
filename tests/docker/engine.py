"""A small container engine, for want of one: it carries out a Dockerfile's steps on an overlay of this very Debian, and
runs a service from a compose file with its user, mounts, tmpfs, secrets, environment and command.

    engine = Engine(folder)                       # root and a kernel with overlays; all it makes is gone with close()
    image = engine.build(context)                 # every RUN, COPY, ENV … of docker/Dockerfile, in order
    engine.run(image, service, ["health"])        # to the end; .returncode, .stdout
    process = engine.start(image, service)        # in the background

What it is not: the base image is this machine with its Python, not python:…-slim; all services share one network of
their own, in which each finds the others on loopback; no seccomp profile but our own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from recipe import Stage, secrets, stages, volumes

PYTHON = Path(os.path.realpath(sys.base_prefix)) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
BASE_PATH = f"{PYTHON.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSED = ("PIP_", "SSL_CERT_", "REQUESTS_CA_")
"""What a build is given of this machine's environment: how it reaches the package registry."""


@dataclass
class Image:
    """`layer` is what stands above the base; the rest is what the last stage says."""

    layer: Path
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


class StepFailed(Exception):
    """A step of the Dockerfile ended badly; its last words follow."""


def available() -> str:
    """"" where this can run, else why not."""
    if os.getuid() != 0:
        return "needs root"
    overlay = "mount -t overlay o -o lowerdir=/,upperdir=u,workdir=w m"
    script = f"mount -t tmpfs t /mnt && cd /mnt && mkdir u w m && {overlay}"
    tried = subprocess.run(["unshare", "--mount", "--net", "sh", "-c", script], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "needs a kernel that lets root mount overlays in a name space"


class Engine:
    def __init__(self, folder: Path) -> None:
        """`folder` may be anywhere: a file system in memory is mounted there, for this engine alone."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        ready = f"mount -t tmpfs -o size=4g,mode=755 engine {folder} && echo ready && exec sleep infinity"
        self._holder = self._hold(["unshare", "--mount", "--propagation", "private"], ready)
        self._network = self._hold(["unshare", "--net"], "echo ready; exec sleep infinity")
        self._inside(sys.executable, "-c", _LOOPBACK, network=True)
        self._started: list[subprocess.Popen[str]] = []
        self._numbers = 0

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait(20)
        for process in (self._holder, self._network):
            process.kill()
            process.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- building

    def build(self, context: Path, text: str | None = None) -> Image:
        """Raises StepFailed."""
        made: dict[str, Image] = {}
        image = Image(self._folder)
        for number, stage in enumerate(stages(text)):
            image = self._stage(stage, context, made)
            made[stage.name or str(number)] = image
        return image

    def prepared(self, command: str) -> Image:
        """The base with what a command, run as root, has changed."""
        image = Image(self._new("layer"), env={"PATH": BASE_PATH})
        self._in(image, command)
        return image

    def _stage(self, stage: Stage, context: Path, made: Mapping[str, Image]) -> Image:
        name, parents = PYTHON.parent / "python", " ".join(str(folder) for folder in PYTHON.parents)
        image = self.prepared(f"[ -e {name} ] || ln -s {PYTHON} {name}; chmod go+rx {parents}")
        for instruction, rest in stage.steps:
            match instruction:
                case "RUN":
                    self._in(image, f"cd {image.workdir}; {rest}", self._build_environment(image))
                case "ENV":
                    for pair in shlex.split(rest):
                        name, _, value = pair.partition("=")
                        image.env[name] = value.replace("$PATH", image.env["PATH"])
                case "WORKDIR":
                    image.workdir = rest
                    self._in(image, f"mkdir -p {rest}")
                case "COPY":
                    self._copy(image, shlex.split(rest), context, made)
                case "USER":
                    image.user = rest
                case "ENTRYPOINT":
                    image.entrypoint = stage.words(instruction)
                case "CMD":
                    image.command = stage.words(instruction)
                case "HEALTHCHECK" | "STOPSIGNAL":
                    pass
                case _:
                    raise StepFailed(f"{instruction} is not known here")
        return image

    def _copy(self, image: Image, words: list[str], context: Path, made: Mapping[str, Image]) -> None:
        whence = context
        if words[0].startswith("--from="):
            whence = made[words.pop(0).removeprefix("--from=")].layer
        *sources, target = words
        inside = image.layer / os.path.normpath(os.path.join(image.workdir, target)).lstrip("/")
        for source in sources:
            path = whence / source.lstrip("./")
            into = inside / path.name if target.endswith("./") or target in (".", "./") else inside
            copied = f"mkdir -p {into.parent} && rm -rf {into} && cp -a {path} {into}"
            self._inside("sh", "-ec", copied)

    def _build_environment(self, image: Image) -> dict[str, str]:
        given = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(PASSED) or name.lower().endswith("_proxy") or name == "HOME"
        }
        return given | image.env

    def _in(self, image: Image, command: str, env: Mapping[str, str] | None = None) -> None:
        """As root, with the image writable and the machine's network: a build step."""
        work, root = self._new("work"), self._new("root")
        script = f"""set -e
mount -t overlay step -o lowerdir=/,upperdir={image.layer},workdir={work} {root}
mount --rbind /dev {root}/dev; mount --rbind /proc {root}/proc; mount -t tmpfs t {root}/tmp
exec chroot {root} /bin/sh -ec {shlex.quote(command)}"""
        done = self._inside("unshare", "--mount", "sh", "-c", script, env={"PATH": BASE_PATH, **(env or {})})
        if done.returncode:
            raise StepFailed(f"{command[:200]}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    # --- running

    def run(
        self, image: Image, service: Mapping[str, Any], words: Sequence[str] = (), *, base: Path, text: str = "",
        entrypoint: bool = True, seconds: float = 60,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """One command in a container of its own, to its end. `base`: the folder of the compose file."""
        command, environment = self._container(image, service, words, base, entrypoint)
        return subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=seconds, env=environment
        )

    def start(
        self, image: Image, service: Mapping[str, Any], words: Sequence[str] = (), *, base: Path, log: Path,
        entrypoint: bool = True,
    ) -> subprocess.Popen[str]:  # fmt: skip
        command, environment = self._container(image, service, words, base, entrypoint)
        with log.open("w") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, text=True, env=environment
            )
        self._started.append(process)
        return process

    def stop(self, process: subprocess.Popen[str], seconds: float = 30) -> int:
        """SIGTERM to what runs inside; its exit status."""
        for child in psutil.Process(process.pid).children():
            child.send_signal(signal.SIGTERM)
        return process.wait(seconds)

    def beside(self, code: str, *words: str) -> None:
        """The same as `client`, in the background, until the engine is closed."""
        entering = ["nsenter", f"--net=/proc/{self._network.pid}/ns/net"]
        self._started.append(subprocess.Popen([*entering, sys.executable, "-c", code, *words], text=True))

    def client(self, code: str, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """A Python program on the services' network, with this machine's files."""
        return self._inside(sys.executable, "-c", code, *words, network=True, env=dict(os.environ), seconds=seconds)

    def _container(
        self, image: Image, service: Mapping[str, Any], words: Sequence[str], base: Path, entrypoint: bool
    ) -> tuple[list[str], dict[str, str]]:
        upper, work, root = self._new("upper"), self._new("work"), self._new("root")
        mounts = [f"mount -t overlay box -o lowerdir={image.layer}:/,upperdir={upper},workdir={work} {root}"]
        mounts += [f"mkdir -p {root}/etc/vestibule {root}/run/secrets"]
        for source, target, _ in volumes(dict(service)):
            mounts.append(_point(base / source, root, target))
        for target in secrets(dict(service)):
            mounts.append(f"touch {root}/run/secrets/{target}")
        mounts += [f"echo '127.0.0.1 localhost database' > {root}/etc/hosts"]
        mounts += [f"rm -f {root}/etc/resolv.conf; echo 'nameserver 127.0.0.1' > {root}/etc/resolv.conf"]
        if service.get("read_only"):
            mounts.append(f"mount -o remount,ro {root}")
        for source, target, read_only in volumes(dict(service)):
            mounts.append(f"mount --bind {base / source} {root}{target}")
            if read_only:
                mounts.append(f"mount -o remount,bind,ro {root}{target}")
        for target, source in secrets(dict(service)).items():
            secret = base / "secrets" / source
            mounts += [f"mount --bind {secret} {root}/run/secrets/{target}",
                       f"mount -o remount,bind,ro {root}/run/secrets/{target}"]  # fmt: skip
        for line in service.get("tmpfs", []):
            target, _, options = line.partition(":")
            mounts.append(f"mount -t tmpfs -o {options} t {root}{target}")
        mounts += [f"mount --rbind /dev {root}/dev", f"mount -t tmpfs -o mode=1777,size=64m t {root}/dev/shm"]
        mounts += [f"mount -t proc proc {root}/proc"]
        user, _, group = str(service.get("user", image.user)).partition(":")
        command = [*(image.entrypoint if entrypoint else []), *(words or service.get("command") or image.command)]
        confined = [
            "setpriv", f"--reuid={user}", f"--regid={group or user}", "--clear-groups", "--bounding-set=-all",
            "--inh-caps=-all", "--no-new-privs",
        ]  # fmt: skip
        inside = f"cd {image.workdir}; ulimit -c 0; exec {shlex.join([*confined, *command])}"
        script = "set -e\n" + "\n".join(mounts) + f"\nexec chroot {root} /bin/sh -ec {shlex.quote(inside)}"
        environment = {**image.env, **{name: str(value) for name, value in service.get("environment", {}).items()}}
        entering = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--net=/proc/{self._network.pid}/ns/net"]
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return [*entering, *apart, "sh", "-c", script], environment

    # ---

    def _hold(self, apart: list[str], script: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([*apart, "sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise OSError("no name space to be had")
        return process

    def _inside(
        self, *command: str, network: bool = False, env: Mapping[str, str] | None = None, seconds: float = 500
    ) -> subprocess.CompletedProcess[str]:
        entering = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt"]
        if network:
            entering.append(f"--net=/proc/{self._network.pid}/ns/net")
        return subprocess.run(
            [*entering, *command], capture_output=True, text=True, check=False, timeout=seconds,
            env=dict(env) if env is not None else {"PATH": BASE_PATH},
        )  # fmt: skip

    def _new(self, kind: str) -> Path:
        self._numbers += 1
        path = self._folder / f"{kind}-{self._numbers}"
        self._inside("mkdir", "-p", str(path))
        return path


def _point(source: Path, root: Path, target: str) -> str:
    """Where a volume is mounted: a folder or a file, as its source is."""
    made = f"{root}{target}"
    return f"if [ -d {source} ]; then mkdir -p {made}; else mkdir -p $(dirname {made}); touch {made}; fi"


_LOOPBACK = """
import fcntl, socket, struct
with socket.socket() as line:
    fcntl.ioctl(line, 0x8914, struct.pack('16sH14s', b'lo', 1 | 64, b''))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
"""
