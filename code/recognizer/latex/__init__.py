r"""LaTeX as a recognizer sees it: tokens, one canonical spelling, a vocabulary."""

from .normalizer import normalize
from .problems import problems
from .tokenizer import CONTROL_SPACE, tokenize
from .transcripts import normalize_transcript
from .vocabulary import BOS, EOS, PAD, SPECIALS, UnknownTokenError, Vocabulary, VocabularyError

__all__ = [
    "BOS",
    "CONTROL_SPACE",
    "EOS",
    "PAD",
    "SPECIALS",
    "UnknownTokenError",
    "Vocabulary",
    "VocabularyError",
    "normalize",
    "normalize_transcript",
    "problems",
    "tokenize",
]
