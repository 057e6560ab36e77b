"""How text becomes the words that are matched: the same for passages and queries."""

from __future__ import annotations

from typing import Any, Literal

from agentdistill.errors import RetrievalError
from agentdistill.retrieval.jvm import java_class, java_exception

Stemmer = Literal["porter", "krovetz", "none"]
ENGLISH = "en"


def analyzer(language: str, stemmer: Stemmer) -> Any:
    """Return the Lucene analyser that Anserini indexes `language`, a two-letter code, with.

    `stemmer` is for English, which also drops stop words; every other language has one analyser.

    Raises:
        RetrievalError: Anserini has no analyser for the language, and the message lists those it has; or this Java
            cannot part the language's words.
    """
    if language == ENGLISH:
        return java_class("io.anserini.analysis.DefaultEnglishAnalyzer").fromArguments(stemmer, False, None)
    known = java_class("io.anserini.analysis.AnalyzerMap")
    if not known.analyzerMap.containsKey(language):
        codes = ", ".join(sorted([ENGLISH, *known.analyzerMap.keySet().toArray()]))
        raise RetrievalError(f"There is no text analyser for the language {language!r}. Set one of {codes}.")
    found = known.getLanguageSpecificAnalyzer(language)
    try:
        java_class("io.anserini.analysis.AnalyzerUtils").analyze(found, "word")
    except java_exception() as error:
        reason = str(error).splitlines()[0]
        raise RetrievalError(
            f"This Java cannot part the words of {language!r}: {reason}. Set JAVA_HOME to a full JDK 21."
        ) from error
    return found
