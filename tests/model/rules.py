"""What may become of requests and processes, whatever they are about, as rules of a state machine."""

import asyncio
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.model.network import Request
from tests.model.stage import Stage
from tests.model.watched import Member

processes = st.integers(0, 1)
mostly = st.sampled_from((True, True, False))


class NetworkRules(RuleBasedStateMachine):
    """Requests arrive in order, before others, twice, unanswered, or never; and processes die."""

    world: Stage[Any]

    @rule()
    def everything_arrives(self) -> None:
        self.some_arrive(300)

    @rule(count=st.integers(1, 3))
    def some_arrive(self, count: int) -> None:
        for _ in range(count):
            if self.world.network.under_way:
                self.world.deliver(self.world.network.under_way[0])

    @precondition(lambda self: len(self.world.network.under_way) > 1)
    @rule(which=st.integers(1, 5))
    def overtake(self, which: int) -> None:
        self.world.deliver(self.request(which))

    @precondition(lambda self: self.world.network.under_way)
    @rule(which=st.integers(0, 5))
    def repeat(self, which: int) -> None:
        request = self.request(which)
        self.world.deliver(request)
        self.world.deliver(request, again=True)

    @precondition(lambda self: self.world.network.under_way)
    @rule(which=st.integers(0, 5))
    def lose_the_answer(self, which: int) -> None:
        request = self.request(which)
        self.world.deliver(request, lose_answer=self.world.lost(request))

    @precondition(lambda self: self.world.network.under_way)
    @rule(which=st.integers(0, 5))
    def lose_the_request(self, which: int) -> None:
        request = self.request(which)
        self.world.network.drop(request, self.world.lost(request))
        self.world.settle()

    def request(self, which: int) -> Request:
        return self.world.network.under_way[which % len(self.world.network.under_way)]

    def all_of_one_arrives(self, process: Member, really: bool = True) -> None:
        for _ in range(100 if really else 0):
            if not (mine := self.sent_by(process)):
                return
            self.world.deliver(mine[0])

    def sent_by(self, process: Member) -> list[Request]:
        return [request for request in self.world.network.under_way if request.sender == process.name]

    @rule(process=processes)
    def crash(self, process: int) -> None:
        self.world.crash(self.world.processes[process])

    def run(self, process: Member, begin: Any) -> Any:
        """Run one piece of work to its end on a network that works."""
        task: asyncio.Task[Any] = begin()
        for _ in range(60):
            if task.done():
                return task.result()
            self.world.pass_time(1.0)
        raise AssertionError("it does not end")
