"""Requests that differ in their sentences alone, answered as one: an archive of many files is opened once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wsra.runtime.archive.answering import Answered
from wsra.runtime.archive.request import Request
from wsra.runtime.archive.search import SearchResults

MOST = 32  # sentences of one search


def differ_in_sentences_alone(one: Request, other: Request) -> bool:
    """Whether two requests ask different sentences, as many, of the same files, and all else alike."""
    sentences = other.question.queries
    return len(one.question.queries) == len(sentences) and replace(one, question=replace(one.question, queries=sentences)) == other


@dataclass(frozen=True)
class Together:
    """Several requests as one.

    Attributes:
        request: it asks each sentence once.
        alone: sentences of each of them, by which a kernel is chosen, so that scores do not depend on who asks meanwhile.
    """

    request: Request
    alone: int

    def answered(self, answered: Answered, request: Request) -> Answered:
        """What of the answers of a recording is one request's."""
        places = self._places(request)
        return replace(answered, seen=tuple(tuple(seen[place] for place in places) for seen in answered.seen))

    def results(self, found: SearchResults, request: Request) -> SearchResults:
        """What of all results is one request's."""
        return replace(found, results=[found.results[place] for place in self._places(request)])

    def _places(self, request: Request) -> list[int]:
        return [self.request.question.queries.index(sentence) for sentence in request.question.queries]


def together(requests: Sequence[Request]) -> Together:
    """Requests that differ in their sentences alone, as one."""
    first = requests[0]
    sentences = tuple(dict.fromkeys(sentence for request in requests for sentence in request.question.queries))
    return Together(replace(first, question=replace(first.question, queries=sentences)), len(first.question.queries))
