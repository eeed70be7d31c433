"""The phrases of injection: English grammars, shorter German, French and Spanish ones, and forged role marks.

Each grammar is written once, with `~` for the gap between two words, and compiled twice: with a gap that must be there,
and for text whose words were split or glued with one that may be missing. All repetitions are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["LOOSE", "MARKUP", "STRICT", "Phrase"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """A pattern on lower-case ASCII, and what a text must contain for it to be worth a search.

    Args:
        needs: of each group, one word must occur.
        pattern: the phrase.
    """

    needs: tuple[tuple[str, ...], ...]
    pattern: re.Pattern[str]


# "don't forget your rules" and "never ignore all instructions" ask for the opposite.
_NOT: Final = r"(?<!not )(?<!n't )(?<!dont )(?<!never )(?<!nicht )"
_INSTRUCTIONS: Final = (
    r"(?:instructions?|rules?|(?:system~)?prompts?|directions?|directives?|guidelines?|guidance|commands?|constraints?"
    r"|restrictions?|polic(?:y|ies)|programming|safeguards?|guardrails?|training|limitations?"
    r"|(?:content|safety)~(?:filters?|polic(?:y|ies)|guidelines?))"
)
_WEAK: Final = (
    r"(?:of|any|the|these|those|that|this|and|or|with|what|are|my|our|safety|security|content|ethical|moral|internal|such"
    r"|other|current|existing|default|were|have|been|told|given|system|developer|hidden|future)"
)
_STRONG: Final = (
    r"(?:all|every|each|everything|previous(?:ly)?|prior|above|earlier|preceding|foregoing|aforementioned|past|former"
    r"|initial|original|your|built~in)"
)
_IGNORE: Final = (
    r"(?:ignore|disregard(?:ing)?|forget|(?<!will )(?<!can )(?<!which )(?<!that )override|bypass|discard"
    r"|pay~no~attention~to|(?:do~not|don.?t|stop)~(?:follow|obey)(?:ing)?)"
)
_SHOW: Final = (
    r"(?:reveal|print|repeat|show|display|output|tell|give|dump|expose|disclose|leak|share|recite|paste|copy|return|write~out"
    r"|what~(?:is|was|are|were)|what.s|read~out|list|quote|echo|provide|translate|summari[sz]e|describe|spell~out)"
)
_SHOWN: Final = (
    r"(?:me|us|back|out|to|the|your|its|all|of|this|full|entire|complete|exact|whole|verbatim|original|initial|hidden|secret"
    r"|above|contents?|text|words?|word~for~word|precise|own|current|internal|actual|very|first|confidential)"
)

_GRAMMARS: Final[tuple[tuple[tuple[tuple[str, ...], ...], str], ...]] = (
    (
        (
            ("ignor", "disregard", "forget", "overrid", "bypass", "discard", "attention", "follow", "obey"),
            (
                "instruct", "rule", "prompt", "direct", "guid", "command", "constraint", "restrict", "polic", "programming",
                "safeguard", "guardrail", "training", "limitation", "filter",
            ),
        ),
        rf"{_NOT}{_IGNORE}~(?:(?:{_WEAK}~){{0,4}}{_STRONG}~(?:(?:{_WEAK}|{_STRONG})~){{0,5}}{_INSTRUCTIONS}"
        rf"|(?:the~)?system~prompts?"
        rf"|(?:{_WEAK}~){{0,4}}{_INSTRUCTIONS}~(?:(?:that|which|you|i|we|were|was|are|have|had|been|given|written|told|stated|came)~){{0,5}}"
        r"(?:above|before|previously|earlier|until~now|so~far))",
    ),
    (
        (("ignor", "disregard", "forget"), ("everything", "anything", "above")),
        rf"{_NOT}(?<!i )(?:ignore|disregard|forget)~(?:(?:everything|anything|all)~(?:of~)?(?:that~)?"
        r"(?:above(?![^a-z0-9]{0,3}[0-9])|previously|prior~to~this|before~this|up~to~(?:now|this)|so~far"
        r"|you~(?:know|(?:were|have~been|ve~been|had~been)~(?:told|taught|instructed|trained|given)|were~trained~on))"
        r"|(?:all~(?:of~)?)?(?:the~)?above~(?:and~)?(?:then~)?(?:instead|say|tell|print|output|write|reveal|repeat|respond|reply))",
    ),
    (
        (("you",), ("now", "hereby")),
        r"(?<!if )(?<!that )(?<!once )(?<!when )(?<!because )you(?:~are|.re|re)~(?:now|from~now~on|hereby)~(?:"
        r"(?:an?|my|the|called|named|acting~as|playing|known~as|pretending)~(?!new|member|subscriber|customer|citizen|resident|part\b|proud"
        r"|owner|few|little|bit|lot|step|registered|verified|valued|full|premium|paid|parent|father|mother|mom|dad|host|manager|fan)"
        r"[a-z0-9]{2,}|dan\b|free~(?:from|of)|freed|unrestricted|unfiltered|uncensored|jailbroken|liberated|evil|root\b|sudo\b"
        r"|no~longer~(?:an?\b|bound|restricted|limited|chatgpt|claude|required|constrained|obliged)"
        r"|in~(?:developer|debug|dev|god|admin|maintenance|unrestricted|jailbreak|sudo|opposite|dan)~mode)",
    ),
    (
        (("from",), ("now",), ("you",)),
        r"from~now~on~you~(?:are|will|must|shall|should|can)~(?:an?\b|act|behave|respond|answer|reply|be|pretend|obey|only|dan\b|free|not|speak|do~anything)",
    ),
    (
        (
            ("pretend", "act", "role", "behave"),
            ("dan", "unrestricted", "unfiltered", "uncensored", "jailbroken", "evil", "restriction", "rules", "limits", "filters", "guideline"),
        ),
        r"(?:pretend|act|acting|behave|role~?play)~(?:as~if|as|like|to~be|that|being)~(?:you~(?:are|have|were)~)?(?:an?~|the~)?"
        r"(?:dan(?=[^a-z0-9']{0,4}$|[.,;:!]|~(?:who|which|and|from|now|you)\b)|unrestricted|unfiltered|uncensored|jailbroken|evil~(?:ai|assistant|chatbot|bot)|no~(?:restrictions|rules|limits|filters|guidelines))",
    ),
    (
        (("prompt", "instruction", "system", "rules", "directive", "guideline", "programming", "configuration", "message"),),
        rf"{_SHOW}~(?:{_SHOWN}~){{0,6}}(?:(?:system|initial|hidden|original|developer|secret|pre)~(?:prompts?|instructions?|messages?|directives?)"
        r"|your~(?:(?:full|exact|entire|complete|own|original|internal|current|secret|hidden|custom)~){0,2}"
        r"(?:instructions?|prompts?|rules|directives|guidelines|programming|configuration)|above~(?:instructions?|prompts?))",
    ),
    (
        (("above", "before", "starting"), ("repeat", "print", "output", "copy", "recite")),
        r"(?:repeat|print|output|copy|recite)~(?:back~)?(?:everything|all|the~(?:words?|text|instructions?|sentences?|lines?|content|paragraphs?))~"
        r"(?:of~)?(?:the~)?(?:text~|words~|content~)?(?:that~(?:is|was|are|were|appears?|came)~)?(?:above|before~this|starting~with~.?you~are)",
    ),
    (
        (("anything", "mode", "dan", "jailb", "restriction", "filter", "limitation", "censorship", "guardrail"),),
        r"do~anything~now|dan~mode|jailbreak~mode|god~mode~(?:enabled|activated|on)"
        r"|(?:act~as|you~are|you.re|called|named|be|become|as)~(?:a~)?dan(?=~(?:who|which|and~(?:can|do)|from~now|now|you)|[,:;]~you)"
        r"|(?:you|chatgpt|gpt|ai|assistant|model|claude|respond|answer|reply|act|simulate)~(?:[a-z0-9]{1,12}~){0,4}(?:in|with|enter|enable|as|has)~developer~mode"
        r"|(?:(?<![a-z0-9] )|(?<=now )|(?<=then )|(?<=please )|(?<=must )|(?<=will )|(?<=and ))(?:enter|enable|activate|switch~to|simulate)~(?:developer|jailbreak|unrestricted|sudo)~mode"
        r"(?!~(?:on|in|for|from|via|under|by|using|when)\b)"
        r"|developer~mode~(?:output|enabled~you|with~(?:no|all))"
        r"|(?:respond|answer|reply|act|behave|speak|operate)~without~(?:any~|all~)?(?:ethical~|moral~|safety~|content~)?(?:restrictions|filters?|limitations|censorship|guardrails)"
        r"|jailbreak~(?:yourself|the~(?:model|ai|assistant|system)|this~(?:model|ai|assistant|chat))|(?:you~(?:are|have~been)|now)~jailbroken",
    ),
    (
        (("ignor", "vergiss", "missacht"), ("anweisung", "instruktion", "regeln", "vorgaben", "prompt", "befehl")),
        rf"{_NOT}(?:ignorier(?:e|en|t)?(?:~sie)?|vergiss|vergessen~sie|missachte(?:n~sie)?)~(?:(?:die|alle|allen|alles|deine|ihre|bitte|und|jetzt|saemtliche|samtliche)~){{1,4}}"
        r"(?:(?:vorherigen|bisherigen|obigen|vorigen|vorangegangenen|fruheren|ursprunglichen)~){0,2}"
        r"(?:anweisungen|instruktionen|regeln|vorgaben|befehle|systemprompts?|prompts?)(?!~nicht)",
    ),
    (
        (("ignor", "oubli", "compte"), ("instruction", "consigne", "regle", "directive")),
        r"(?:ignore[rz]?|oublie[rz]?|ne~(?:tiens|tenez)~pas~compte~de[s]?)~(?:(?:toutes?|tous|les|tes|vos|ces|mes|des)~){0,4}(?:precedentes~|anciennes~)?"
        r"(?:instructions|consignes|regles|directives)~(?:(?:qui|vous|t|ont|ete|donnees|initiales)~){0,4}"
        r"(?:precedentes?|ci~dessus|anterieures?|d~avant|initiales|systeme)"
        r"|(?:ignore[rz]?|oublie[rz]?)~(?:toutes~)?(?:tes|vos)~(?:instructions|consignes|regles|directives)",
    ),
    (
        (("ignor", "olvid", "descart"), ("instruccion", "reglas", "ordenes", "indicacion", "directrices")),
        r"(?:ignor(?:a|e|ar|en)|olvid(?:a|e|ar|en)|descart(?:a|e|ar|en))~(?:(?:todas?|todos|las|tus|sus|los|estas|de)~){0,4}"
        r"(?:(?:anteriores|previas)~)?(?:instrucciones|reglas|ordenes|indicaciones|directrices)~(?:(?:que|te|se|han|dado|del)~){0,4}"
        r"(?:anteriores|previas|iniciales|sistema|dieron|arriba)"
        r"|(?:ignora|olvida)~(?:todas~)?tus~(?:instrucciones|reglas)",
    ),
)  # fmt: skip

MARKUP: Final[Sequence[Phrase]] = (
    Phrase(
        needs=(("<|",),),
        pattern=re.compile(
            r"<\|[ ]?(?:im_(?:start|end|sep)|start_header_id|end_header_id|begin_of_text|end_of_text|endoftext|eot_id|eom_id"
            r"|start_of_role|end_of_role|system|user|assistant|tool|developer|end|channel|message|start|return|call)[ ]?\|>"
            r"(?:[ ]?(?:system|user|assistant|developer|tool)\b)?"
        ),
    ),
    Phrase(
        needs=(("[inst", "[/inst", "<<sys", "<</sys", "_of_turn>", "<|begin"),),
        pattern=re.compile(r"(?<![a-z0-9_)])\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>"),
    ),
    Phrase(
        needs=(("#",), ("system:", "instruction:", "assistant:", "system prompt:", "system message:")),
        pattern=re.compile(
            r"#{2,6}[ \t]{0,4}(?:system(?:[ ](?:prompt|message))?|instruction|assistant)[ \t]{0,2}:"
        ),
    ),
)


def _compiled(gap: str, edge: str) -> tuple[Phrase, ...]:
    return tuple(
        Phrase(needs=needs, pattern=re.compile(f"{edge}(?:{grammar.replace('~', gap)})(?![a-z0-9])"))
        for needs, grammar in _GRAMMARS
    )


STRICT: Final = _compiled(r"(?:[^a-z0-9]{1,8})", r"(?<![a-z0-9])")
"""For words as they are written."""

LOOSE: Final = _compiled(r"(?:[^a-z0-9]{0,8})", "")
"""For words that were split into letters or glued together."""
