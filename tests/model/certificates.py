"""The state machine of certificates: who is invited, what is issued, renewed and revoked, and who is let in."""

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from shared.domain.identity import Principal
from shared.domain.policy import DAY, HOUR, MINUTE
from tests.model.promises import SOON
from tests.model.registry import ADMIN, ALICE, BOB, Clerk, Registry
from tests.model.rules import NetworkRules, mostly, processes

people = st.sampled_from((ALICE, ALICE, BOB))
some = st.integers(0, 7)
keys = st.sampled_from((b"a key", b"a key", b"another key"))


class CertificateMachine(NetworkRules):
    """Two processes with wrong clocks, a store that may be away, and what people may do with tokens and keys."""

    world: Registry

    def __init__(self) -> None:
        super().__init__()
        self.world = Registry()

    @initialize(
        start=st.sampled_from(("nothing", "invited", "enrolling", "enrolled", "renewed", "renewed")), count=some
    )
    def begin_somewhere(self, start: str, count: int) -> None:
        if start != "nothing":
            self.begin(start, count)

    def begin(self, start: str, requests: int) -> None:
        world, first = self.world, self.world.processes[0]
        with world.calmly():
            world.invite(first, ALICE, DAY)
            if start in ("enrolled", "renewed"):
                world.enrol(first, world.tokens[0], b"first key")
                world.call(world.processes[1], world.held[-1])
            if start == "renewed":
                world.pass_time(20 * DAY)
                world.renew(first, world.held[-1], b"second key")
                world.invite(first, ALICE, DAY)
        if start == "enrolling":
            world.enrol(first, world.tokens[0], b"first key")
            self.some_arrive(requests)

    # --- what is asked of one process; `at_once`: its network is fast just now

    @rule(process=processes, who=people, hours=st.sampled_from((1, 24, 24, 168)), at_once=mostly)
    def invite(self, process: int, who: Principal, hours: int, at_once: bool) -> None:
        clerk = self.world.processes[process]
        self.world.invite(clerk, who, hours * HOUR)
        self.all_of_one_arrives(clerk, at_once)

    @precondition(lambda self: self.world.tokens)
    @rule(process=processes, which=some, key=keys, at_once=mostly)
    def enrol(self, process: int, which: int, key: bytes, at_once: bool) -> None:
        clerk = self.world.processes[process]
        self.world.enrol(clerk, self.world.tokens[-1 - which % len(self.world.tokens)], key)
        self.all_of_one_arrives(clerk, at_once)

    @precondition(lambda self: self.world.tokens)
    @rule(which=some, keys=st.tuples(keys, keys))
    def enrol_twice_at_once(self, which: int, keys: tuple[bytes, bytes]) -> None:
        for process, key in enumerate(keys):
            self.enrol(process, which, key, at_once=False)

    @rule(process=processes, which=some, key=keys, at_once=mostly)
    def renew(self, process: int, which: int, key: bytes, at_once: bool) -> None:
        clerk = self.world.processes[process]
        self.world.renew(clerk, self.certificate(which), key)
        self.all_of_one_arrives(clerk, at_once)

    @rule(process=processes, which=some, with_which=st.one_of(st.none(), some), at_once=mostly)
    def revoke(self, process: int, which: int, with_which: int | None, at_once: bool) -> None:
        """By an admin, by its owner with any of its own, or by somebody whose it is not."""
        clerk = self.world.processes[process]
        caller = ADMIN if with_which is None else self.certificate(with_which)
        self.world.revoke(clerk, caller, self.certificate(which))
        self.all_of_one_arrives(clerk, at_once)

    @rule(process=processes, which=some, at_once=mostly)
    def forbid(self, process: int, which: int, at_once: bool) -> None:
        clerk = self.world.processes[process]
        self.world.forbid(clerk, self.certificate(which))
        self.all_of_one_arrives(clerk, at_once)

    @rule(process=processes, who=people, at_once=mostly)
    def see_the_list(self, process: int, who: Principal, at_once: bool) -> None:
        clerk = self.world.processes[process]
        self.world.listed(clerk, who)
        self.all_of_one_arrives(clerk, at_once)

    @rule(process=processes, which=some, beat=st.booleans(), at_once=mostly)
    def call(self, process: int, which: int, beat: bool, at_once: bool) -> None:
        clerk = self.world.processes[process]
        self.world.call(clerk, self.certificate(which), beat=beat)
        self.all_of_one_arrives(clerk, at_once)

    def certificate(self, which: int) -> Principal:
        """The newest come first."""
        return self.world.held[-1 - which % len(self.world.held)]

    # --- what befalls everybody

    @rule()
    def the_store_goes_or_comes(self) -> None:
        self.world.away ^= True

    @rule(seconds=st.sampled_from((0.5, 4.0, 12.0, 26.0, 61.0, 11 * MINUTE, 12 * HOUR, 2 * DAY, 20 * DAY, 31 * DAY)))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(which=some, seconds=st.sampled_from((-200.0, -100.0, 0.0, 100.0, 200.0)))
    def an_end_comes(self, which: int, seconds: float) -> None:
        """It is almost the end of a certificate, or just after it: one clock sees that, the other one does not."""
        left = self.certificate(which).until + seconds - self.world.now
        if left > 0:
            self.world.pass_time(left)

    # --- what must come in the end

    def teardown(self) -> None:
        try:
            self.converge()
        finally:
            self.world.close()

    def converge(self) -> None:
        """Once all is reachable, open tokens bring certificates, and everybody lets the same ones in."""
        world = self.world
        world.away = False
        world.calm_down()
        world.pass_time(SOON)
        world.processes.append(healthy := world.new_process(0.0))
        self.all_agree()
        for token in world.tokens:
            key = next(iter(token.keys), b"its key")
            first = self.run(healthy, lambda token=token, key=key: world.enrol(healthy, token, key))
            again = self.run(healthy, lambda token=token, key=key: world.enrol(healthy, token, key))
            assert type(first) is type(again) and getattr(first, "issued", 0) == getattr(again, "issued", 0)
        for who in (ALICE, BOB):
            assert isinstance(self.run(healthy, lambda who=who: world.listed(healthy, who)), list)
        mine = [each for each in world.held if each.serial in world.issued and self.is_good(healthy, each)]
        if mine:
            ended = self.run(healthy, lambda: world.revoke(healthy, ADMIN, mine[0]))
            assert ended.revoked_at is not None
            world.pass_time(SOON)
            assert not self.is_good(healthy, mine[0])
            self.all_agree()

    def all_agree(self) -> None:
        for each in self.world.held:
            for clerk in self.world.processes:
                good = self.run(clerk, lambda clerk=clerk, each=each: self.world.call(clerk, each))
                assert good == self.is_good(clerk, each), "what counts for one does not for another"

    def is_good(self, clerk: Clerk, certificate: Principal) -> bool:
        return (
            certificate.begins <= clerk.clock.now() < certificate.until and certificate.serial not in self.world.revoked
        )
