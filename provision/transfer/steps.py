"""One step: a file is kept, proven, resumed, fetched or repaired, and only proven bytes get its name."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provision.errors import (
    ProvisionError,
    UnsafePath,
    VolumeError,
    VolumeFull,
    VolumeReadOnly,
    VolumeTrouble,
)
from provision.plan import Action, State
from provision.progress import End
from provision.transfer.assembly import Assembly
from provision.transfer.doubt import Attempt, resolve_doubt, told
from provision.transfer.outcome import Done, Outcome, kept
from provision.transfer.parcel import LARGEST, Parcel
from provision.transfer.proof import check_header, read_through
from provision.transfer.suppliers import Suppliers
from provision.transfer.watch import Watch
from provision.volume.holdings import holding_of
from provision.volume.journal import keeps_journal
from provision.volume.partials import Held
from provision.volume.placing import place
from provision.volume.receipts import Receipt, read_receipts, receipt_of, trusted

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from provision.crew import Stop
    from provision.plan import Step
    from provision.progress import Progress, Task
    from provision.transfer.assistance import Assistance
    from provision.transfer.rate import Rate
    from provision.transfer.sources import Sources
    from provision.transfer.width import Width
    from provision.volume.mount import Volume
    from provision.volume.partials import Partial, Partials
    from provision.volume.receipts.writing import ReceiptWriter


TROUBLE_WAIT = 2.0
"""Seconds before a step is tried again after EIO or ESTALE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """All that steps need at hand. `known` are the receipts of before, `copies` the same by sha256; `receipts` takes
    the new ones.
    """

    volume: Volume
    partials: Partials
    known: Mapping[str, Receipt]
    copies: Mapping[str, Sequence[Receipt]]
    receipts: ReceiptWriter
    sources: Sources
    rate: Rate
    width: Width
    progress: Progress
    stop: Stop
    clock: Callable[[], float]


class Worker:
    """Does steps, on any thread. What goes wrong with a file is its outcome; only an interrupt goes through.

    A volume that is full or read-only fails every step after it at once: no byte is fetched for nothing.
    """

    def __init__(self, bench: Bench, assistance: Assistance) -> None:
        self._bench, self._assistance = bench, assistance
        self._hopeless: ProvisionError | None = None

    def do(self, step: Step) -> Outcome:
        """Bring one file to its promise."""
        if step.action is Action.KEEP:
            return self._kept(step)
        known = self._hopeless or (self._bench.sources.silence(step) if step.missing else None)
        if known is not None:
            return Outcome(step=step, done=Done.FAILED, error=known)
        task = self._bench.progress.task(step.file.target, step.file.size)
        doing, end = _Doing(self._bench, self._assistance, step, task), End.INTERRUPTED
        try:
            outcome = doing.run_through_trouble()
        except ProvisionError as error:
            self._bench.stop.check()
            end = End.FAILED
            if isinstance(error, (VolumeFull, VolumeReadOnly)):
                self._hopeless = error
            return doing.outcome(Done.FAILED, error=error)
        else:
            end = End.OK
            return outcome
        finally:
            task.finish(end)

    def _kept(self, step: Step) -> Outcome:
        """It was to be done when the fill began; another fill has done it."""
        task = self._bench.progress.task(step.file.target, step.file.size)
        task.reuse(step.file.size)
        task.finish()
        return kept(step)


class _Doing:
    """One step under way."""

    def __init__(self, bench: Bench, assistance: Assistance, step: Step, task: Task) -> None:
        self._bench, self._assistance, self._step, self._task = bench, assistance, step, task
        self._file = step.file
        self._watch = Watch(
            retry=bench.sources.retry_for(step),
            stop=bench.stop,
            task=task,
            rate=bench.rate,
            width=bench.width,
        )
        self._suppliers = bench.sources.of(step)
        self._assemblies: list[Assembly] = []
        self._served = Counter[str]()
        self._held = 0

    def outcome(self, done: Done, *, reused: int = 0, error: ProvisionError | None = None) -> Outcome:
        """What became of it; sources are remembered by what they did."""
        served = sum((assembly.served for assembly in self._assemblies), self._served)
        self._bench.sources.learn(self._suppliers, served, error)
        dropped = {name: str(why) for name, why in self._suppliers.dropped.items()}
        return Outcome(step=self._step, done=done, reused=reused, served=served, dropped=dropped, error=error)

    def _reused(self) -> int:
        """Bytes that lay there and did not have to come: not those that an earlier try of this step has brought."""
        if not self._assemblies:
            return 0
        first, *later = self._assemblies
        if not later:
            return first.reused
        fetched = sum(sum(assembly.served.values()) for assembly in self._assemblies)
        return min(first.reused, max(0, self._file.size - fetched))

    def run_through_trouble(self) -> Outcome:
        """As `run`, again while a file system that fails in ways that often pass lets it get on: what is proven, and
        was flushed, is still there. Twice in a row at the same point is once too often.
        """
        reached = -1
        while True:
            try:
                return self.run()
            except VolumeTrouble as error:
                if self._held <= reached:
                    raise
                reached = self._held
                self._task.note(f"{self._file.target}: {error.message}; trying again")
                self._bench.sources.retry.sleep(TROUBLE_WAIT)
                self._task.restart()

    def run(self) -> Outcome:
        """Do what the plan says, by what stands now."""
        match self._step.action:
            case Action.PROVE:
                return self._prove_or_repair()
            case Action.REPAIR:
                pieces = self._known_pieces()
                return self._repair(pieces) if pieces else self._prove_or_repair()
            case Action.RESUME:
                return self._bring(Done.RESUMED)
            case Action.FETCH:
                return self._bring(Done.FETCHED)
            case _:
                raise UnsafePath(
                    f"{self._file.target} is a folder, a link or a device; provision only replaces plain files",
                    hint="move it away, then run the same command again",
                )

    def _prove(self) -> Outcome | None:
        """Keep what stands when it is as promised; None when it is not."""
        read = self._bench.sources.retry.call(lambda: read_through(self._bench.volume, self._file, self._watch))
        if read is None:
            return None
        hasher, found = read
        self._vouch(hasher.pieces, found)
        return self.outcome(Done.KEPT, reused=self._file.size)

    def _prove_or_repair(self) -> Outcome:
        try:
            kept = self._prove()
        except VolumeTrouble as error:
            self._task.note(f"{self._file.target} cannot be read ({error.message}); it is fetched again")
            return self._repair(())  # bytes that a file system has lost cannot be written in their place either
        return kept or self._repair(self._known_pieces())

    def _bring(self, done: Done) -> Outcome:
        """The file was absent, or another version, when the plan was made; by now another fill may have placed it."""
        known = self._bench.known.get(self._file.target)
        if known is None or known.sha256 == self._file.sha256:
            found = self._bench.volume.stat(self._file.target)
            if found is not None:
                return self._proven_meanwhile(found) or self._prove_or_repair()
        return self._assemble(self._bench.partials.claim(self._file), done)

    def _proven_meanwhile(self, found: os.stat_result) -> Outcome | None:
        """Kept unread, as the plan would have it, when the other fill has left a receipt for what stands; None when it
        has not. A file of one piece is read in less time than receipts are looked up in.
        """
        if not keeps_journal(self._file):
            return None
        with suppress(VolumeError):  # receipts that cannot be read: then the file is
            receipts = read_receipts(self._bench.volume, self._bench.clock(), only={self._file.target})
            receipt = receipts.get(self._file.target)
            if holding_of(self._file, found, receipt, 0).state is State.PROVEN:
                self._task.reuse(self._file.size)
                return self.outcome(Done.KEPT, reused=self._file.size)
        return None

    def _known_pieces(self) -> tuple[str, ...]:
        known = self._bench.known.get(self._file.target)
        return known.pieces if known is not None and known.sha256 == self._file.sha256 else ()

    def _repair(self, pieces: tuple[str, ...]) -> Outcome:
        """What stands is not as promised. Where its pieces are known it loses its name at once and gives the good ones;
        a file that nobody has proven stands until its successor takes its name, for nothing else may ever come.
        """
        self._task.restart()
        partials = self._bench.partials
        partial = partials.demote(self._file, pieces) if pieces else partials.claim(self._file)
        return self._assemble(partial, Done.REPAIRED)

    def _assemble(self, partial: Partial, done: Done) -> Outcome:
        """Put the file together until the whole is right, and give it its name."""
        with partial, ExitStack() as stack:
            partial.others = [*partial.others, *self._copies(stack)]
            self._held = len(partial.held)
            attempt = self._unpacked(partial) or self._attempt(partial, self._suppliers)
            if attempt.sha256 != self._file.sha256:
                again = lambda suppliers: self._once_more(partial, suppliers)  # noqa: E731 - partial is its whole matter
                first, attempt = attempt, resolve_doubt(partial, self._suppliers, attempt, again)
                self._task.note(f"{self._file.target}: {told(first, attempt)}")
            check_header(self._file, partial)
            placed = place(partial)
        if placed is None:
            return self._placed_by_another()
        self._vouch(attempt.pieces, placed)
        return self.outcome(done, reused=self._reused())

    def _unpacked(self, partial: Partial) -> Attempt | None:
        """The whole file, written, where it is small and comes as promised with the first answer; None where it is not,
        or does not: that answer is then the first that an assembly gets.
        """
        size, suppliers = self._file.size, self._suppliers
        first = suppliers.due(self._bench.width.clock())[:1]
        ordinary = not (self._assemblies or partial.held or partial.others)
        whole = 0 < size <= LARGEST and self._watch.rate.at_once(size) == size
        if not (ordinary and whole and first) or first != suppliers.left[:1]:
            return None
        parcel, (supplier, *others) = Parcel(self._file), suppliers.left
        parcel.fetch(supplier, suppliers.pace(supplier), self._watch.stop.check)
        if not parcel.is_proven:
            self._suppliers = Suppliers([parcel.played_by(supplier), *others])
            return None
        supplier.tally.bytes += size
        self._served[supplier.name] += size
        self._bench.width.came(size)
        self._watch.rate.spend(size)
        partial.write_at(0, parcel.data)
        self._task.advance(size)
        return Attempt(size=size, sha256=self._file.sha256, pieces=[], names={})

    def _attempt(self, partial: Partial, suppliers: Suppliers) -> Attempt:
        assembly = Assembly(partial, suppliers, self._watch)
        self._assemblies.append(assembly)
        with self._assistance.offered(assembly):
            sha256 = assembly.run()
        return Attempt(size=self._file.size, sha256=sha256, pieces=assembly.pieces, names=assembly.names)

    def _once_more(self, partial: Partial, suppliers: Suppliers) -> Attempt:
        self._task.restart()
        names = ", ".join(supplier.name for supplier in suppliers.left)
        self._task.note(f"{self._file.target}: its sha256 is not as promised; once more from {names} alone")
        return self._attempt(partial, suppliers)

    def _copies(self, stack: ExitStack) -> Iterator[Held]:
        """Files of the same bytes that stand proven elsewhere on the volume: at an old target, for another project."""
        for receipt in self._bench.copies.get(self._file.sha256, ()):
            if receipt.target == self._file.target:
                continue
            with suppress(VolumeError):  # what cannot be read is only not used
                opened = self._bench.volume.open_file(receipt.target)
                if opened is not None and trusted(receipt, stack.enter_context(opened).stat()):
                    yield Held(file=opened, pieces=dict(enumerate(receipt.pieces or (receipt.sha256,))))

    def _placed_by_another(self) -> Outcome:
        """Two fills met, and the other was first. What it placed is read, not believed."""
        outcome = self._prove()
        if outcome is None:
            raise VolumeTrouble(
                f"{self._file.target}: another fill took what this one had, and what stands is not as promised",
                hint="run the same command again",
            )
        return replace(outcome, reused=max(0, self._file.size - outcome.fetched))

    def _vouch(self, pieces: Sequence[str], found: os.stat_result) -> None:
        self._bench.receipts.add(receipt_of(self._file, found, pieces, self._bench.clock()))
