"""Machines for rent and where they stand: the catalog, with invented prices and stock of the size of the real ones."""

from __future__ import annotations

from dataclasses import dataclass, field

MANY = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """A flavor of CPU machines; `cpu3c-2-4` is the one of `cpu3c` with two vCPUs, and so 4 GB of memory."""

    id: str
    name: str
    group: str
    memory: int  # GB for each vCPU
    price: float  # USD an hour for each vCPU
    datacenters: tuple[str, ...]
    most: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A type of GPU. A price of None: not in that cloud."""

    id: str
    name: str
    memory: int
    secure: float | None
    community: float | None
    datacenters: tuple[str, ...]
    pool: str | None = None
    most: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Datacenter:
    """A data center; without `volume_types` it has no network volumes."""

    id: str
    name: str
    region: str
    volume_types: tuple[str, ...] = ("STANDARD",)


CPU3 = ("EU-CZ-1", "EU-RO-1", "US-CA-2", "US-KS-2")
GPUS = ("EU-CZ-1", "EU-RO-1", "EUR-IS-1", "US-CA-2", "US-KS-2", "US-TX-3")


@dataclass(slots=True, kw_only=True)
class Catalog:
    """What there is. Tests change it as they like."""

    cpus: list[Cpu] = field(
        default_factory=lambda: [
            Cpu(id="cpu3c", name="Compute-Optimized", group="Gen 3", memory=2, price=0.03, datacenters=CPU3),
            Cpu(id="cpu3g", name="General Purpose", group="Gen 3", memory=4, price=0.04, datacenters=CPU3),
            Cpu(id="cpu3m", name="Memory-Optimized", group="Gen 3", memory=8, price=0.055, datacenters=CPU3),
            Cpu(id="cpu5c", name="Compute-Optimized", group="Gen 5", memory=2, price=0.035, datacenters=("EU-RO-1",)),
            Cpu(id="cpu5g", name="General Purpose", group="Gen 5", memory=4, price=0.045, datacenters=("EU-RO-1",)),
        ]
    )
    gpus: list[Gpu] = field(
        default_factory=lambda: [
            Gpu(id="NVIDIA RTX A4000", name="RTX A4000", memory=16, secure=0.25, community=0.17,
                datacenters=("EU-RO-1", "EUR-IS-1", "US-KS-2"), pool="AMPERE_16"),
            Gpu(id="NVIDIA RTX 4000 Ada Generation", name="RTX 4000 Ada", memory=20, secure=0.28, community=0.2,
                datacenters=("EU-RO-1", "EUR-IS-1", "US-TX-3")),
            Gpu(id="NVIDIA GeForce RTX 4090", name="RTX 4090", memory=24, secure=0.69, community=0.34,
                datacenters=GPUS, pool="ADA_24"),
            Gpu(id="NVIDIA GeForce RTX 3070", name="RTX 3070", memory=8, secure=None, community=0.13,
                datacenters=("US-KS-2",)),
            Gpu(id="NVIDIA H100 80GB HBM3", name="H100 SXM", memory=80, secure=2.99, community=2.69,
                datacenters=("EUR-IS-1", "US-CA-2", "US-KS-2"), pool="ADA_80_PRO"),
        ]
    )  # fmt: skip
    datacenters: list[Datacenter] = field(
        default_factory=lambda: [
            Datacenter(id="EU-CZ-1", name="EU Czechia 1", region="EUROPE"),
            Datacenter(
                id="EU-RO-1", name="EU Romania 1", region="EUROPE", volume_types=("STANDARD", "HIGH_PERFORMANCE")
            ),
            Datacenter(id="EUR-IS-1", name="EU Iceland 1", region="EUROPE"),
            Datacenter(id="US-CA-2", name="US California 2", region="NORTH_AMERICA"),
            Datacenter(id="US-KS-2", name="US Kansas 2", region="NORTH_AMERICA"),
            Datacenter(id="US-TX-3", name="US Texas 3", region="NORTH_AMERICA", volume_types=()),
        ]
    )
    capacity: dict[tuple[str, str], int] = field(default_factory=dict)
    """(machine, data center) -> how many are there, rented ones too; 1000 where it is not said. A CPU machine is looked
    for by its instance id (`cpu3c-2-4`), then by its flavor; a data center `*` is any."""
    stock: dict[tuple[str, str], str] = field(default_factory=dict)
    """(machine, data center) -> NONE, LOW, MEDIUM, HIGH: what the catalog says, true or not; else what is there."""

    def cpu(self, flavor: str) -> Cpu | None:
        """The flavor called so."""
        return next((cpu for cpu in self.cpus if cpu.id == flavor), None)

    def gpu(self, name: str) -> Gpu | None:
        """The type called so."""
        return next((gpu for gpu in self.gpus if gpu.id == name), None)

    def datacenter(self, name: str) -> Datacenter | None:
        """The data center called so."""
        return next((place for place in self.datacenters if place.id == name), None)

    def with_volumes(self) -> list[str]:
        """The data centers that have network volumes."""
        return [place.id for place in self.datacenters if place.volume_types]

    def room(self, names: tuple[str, ...], datacenter: str) -> int:
        """How many machines there are of the first of `names` of which that is known."""
        keys = [(name, place) for place in (datacenter, "*") for name in names]
        return next((self.capacity[key] for key in keys if key in self.capacity), MANY)

    def level(self, names: tuple[str, ...], datacenter: str, rented: int) -> str:
        """The stock that is told."""
        told = next((self.stock[name, datacenter] for name in names if (name, datacenter) in self.stock), None)
        free = self.room(names, datacenter) - rented
        return told or ("NONE" if free <= 0 else "LOW" if free < 5 else "MEDIUM" if free < 50 else "HIGH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine that is asked for. `count`: vCPUs or GPUs. `names`: what its capacity is known by, most exact first."""

    kind: str  # cpu or gpu
    id: str  # the flavor, or the type
    count: int
    memory: int
    names: tuple[str, ...]
    secure: float | None
    community: float | None
    datacenters: tuple[str, ...]


def cpu_machine(cpu: Cpu, vcpus: int) -> Machine:
    """A machine of that flavor; its instance id is like `cpu3c-2-4`."""
    return Machine(
        kind="cpu", id=cpu.id, count=vcpus, memory=cpu.memory * vcpus, secure=round(cpu.price * vcpus, 4),
        names=(f"{cpu.id}-{vcpus}-{cpu.memory * vcpus}", cpu.id), community=None, datacenters=cpu.datacenters,
    )  # fmt: skip


def gpu_machine(gpu: Gpu, count: int) -> Machine:
    """A machine with so many of them."""
    secure, community = (None if price is None else price * count for price in (gpu.secure, gpu.community))
    return Machine(
        kind="gpu", id=gpu.id, count=count, memory=16 * count, secure=secure, community=community, names=(gpu.id,),
        datacenters=gpu.datacenters,
    )  # fmt: skip
