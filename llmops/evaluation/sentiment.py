"""Sentiment of a user's message by words and punctuation alone: no model is called, the result is deterministic.

It knows words of English, German, French and Spanish. It finds open anger and thanks, but neither irony nor anger
behind
politeness: for these, use a model in a check or condition of your own.
"""

from __future__ import annotations

import re

_BAD = """
angry annoyed annoying awful broken complain complaint disappointed disappointing disaster disgusting fed-up frustrated
frustrating furious hate horrible idiots incompetent insane lawyer nonsense outrageous pathetic ridiculous rubbish scam
shame shameful stupid terrible unacceptable unbelievable upset useless wasted waste worst worthless wtf
anwalt beschwerde dreist enttäuscht frechheit furchtbar genervt inakzeptabel katastrophe lächerlich mist nutzlos
schlecht schrecklich sauer unfassbar unmöglich unverschämt unzumutbar verärgert wütend zumutung
arnaque colère déçu déçue furieux furieuse honteux horrible inacceptable incompétent inutile nul ridicule scandaleux
decepcionado enfadada enfadado estafa fatal harto indignante inaceptable inútil pésimo ridículo terrible vergüenza
"""
_GOOD = """
amazing appreciate awesome brilliant excellent fantastic friendly glad good great happy helpful kind love nice perfect
pleased thank thanks wonderful
danke dankbar freundlich gut hilfreich klasse perfekt prima super toll zufrieden
bien bravo content contente merci parfait sympa
bueno contenta contento encantado excelente gracias genial perfecto
"""
_NO = "aint arent cant didnt doesnt dont isnt kein keine ne never nicht nie no not pas sin wasnt wont"
_NOT = frozenset(_NO.split())
_WORDS = dict.fromkeys(_BAD.split(), -1) | dict.fromkeys(_GOOD.split(), 1)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_LOUD = re.compile(r"[!?]{2,}")
_REACH = 3
"""Most words between a negation and the word it negates."""
_SHOUTED = 3
"""Fewest words of three or more capital letters that count as shouting."""


def sentiment(text: str) -> int:
    """Return the sentiment of a message, 0-100: 50 is neutral, lower is anger, higher is thanks.

    With `b` signs of anger and `g` of thanks the result is `50 + 50 (g - b) / (g + b + 1)`: one sign of anger gives 25,
    two give 17. Signs are words (a negated one counts as its opposite), `!!` and the like, and words in capitals. The
    time is linear in the length of the text.
    """
    words = _WORD.findall(text)
    plain = [word.casefold().replace("'", "").replace("’", "") for word in words]
    good = bad = 0
    for at, word in enumerate(plain):
        sign = _WORDS.get(word, 0)
        if sign and not _NOT.isdisjoint(plain[max(0, at - _REACH) : at]):
            sign = -1 if sign > 0 else 0  # "not good" counts as anger, "not bad" as nothing
        good, bad = good + (sign > 0), bad + (sign < 0)
    bad += bool(_LOUD.search(text)) + (sum(len(word) > 2 and word.isupper() for word in words) >= _SHOUTED)
    return round(50 + 50 * (good - bad) / (good + bad + 1))
