"""The phrases of injection: English grammars, shorter German, French and Spanish ones, and forged role marks.

Each grammar is written once, with `~` for the gap between two words, and compiled twice: with a gap that must
be there, and for text whose words were split or glued with one that may be missing. All repetitions are
bounded, and a grammar is tried only where one of its first words stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["LOOSE", "MARKUP", "STRICT", "Group", "Phrase"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """A pattern on lower-case ASCII.

    Args:
        needs: of each of these lists, one word must occur in the text.
        heads: finds where the pattern may begin.
        pattern: the phrase.
        lead: what must end right before the pattern, and then belongs to the phrase.
    """

    needs: tuple[tuple[str, ...], ...]
    heads: re.Pattern[str]
    pattern: re.Pattern[str]
    lead: re.Pattern[str] | None = None


class Group(NamedTuple):
    """Phrases that share a need: one of these words must occur in the text."""

    needs: tuple[str, ...]
    phrases: tuple[Phrase, ...]


class _Grammar(NamedTuple):
    needs: tuple[tuple[str, ...], ...]
    heads: str
    pattern: str
    lead: str = ""


# "don't forget your rules" and "never ignore all instructions" ask for the opposite.
_NOT: Final = r"(?<!\bnot )(?<!n't )(?<!\bdont )(?<!\bnever )(?<!\bnicht )"
_INSTRUCTIONS: Final = (
    r"(?:instructions?|rules?|(?:system~)?prompts?|directions?|directives?|guidelines?|guidance|commands?"
    r"|constraints?|restrictions?|polic(?:y|ies)|programming|safeguards?|guardrails?|training|limitations?"
    r"|(?:content|safety)~(?:filters?|polic(?:y|ies)|guidelines?))"
)
_INSTRUCTION_STEMS: Final = (
    "instruct", "rule", "prompt", "direct", "guid", "command", "constraint", "restrict", "polic",
    "programming", "safeguard", "guardrail", "training", "limitation", "filter",
)  # fmt: skip
_WEAK: Final = (
    r"(?:of|any|the|these|those|that|this|and|or|with|what|are|my|our|safety|security|content|ethical|moral|internal"
    r"|such|other|current|existing|default|were|have|been|told|given|system|developer|hidden|future)"
)
_STRONG: Final = (
    r"(?:all|every|each|everything|previous(?:ly)?|prior|above|earlier|preceding|foregoing|aforementioned|past"
    r"|former|initial|original|your|built~in)"
)
_IGNORE: Final = (
    r"(?:ignore|disregard(?:ing)?|forget|(?<!\bwill )(?<!\bcan )(?<!\bwhich )(?<!\bthat )override|bypass"
    r"|discard|pay~no~attention~to|(?:do~not|don.?t|stop)~(?:follow|obey)(?:ing)?)"
)
_SINCE: Final = r"(?:(?:that|which|you|i|we|were|was|are|have|had|been|given|written|told|stated|came)~){0,5}"

_OVERRULE: Final = _Grammar(
    (_INSTRUCTION_STEMS,),
    "ignore|disregard|forget|override|bypass|discard|pay|do|stop",
    rf"{_NOT}{_IGNORE}~(?:(?:{_WEAK}~){{0,4}}{_STRONG}~(?:(?:{_WEAK}|{_STRONG})~){{0,5}}{_INSTRUCTIONS}"
    rf"|(?:the~)?system~prompts?"
    rf"|(?:{_WEAK}~){{0,4}}{_INSTRUCTIONS}~{_SINCE}(?:above|before|previously|earlier|until~now|so~far))",
)
_FORGET: Final = _Grammar(
    (("everything", "anything", "above", "all"),),
    "ignore|disregard|forget",
    rf"{_NOT}(?<!\bi )(?:ignore|disregard|forget)~(?:(?:everything|anything|all)~(?:of~)?(?:that~)?"
    r"(?:above(?![^a-z0-9]{0,3}[0-9])|previously|prior~to~this|before~this|up~to~(?:now|this)|so~far"
    r"|you~(?:know|(?:were|have~been|ve~been|had~been)~(?:told|taught|instructed|trained|given)))"
    r"|(?:all~(?:of~)?)?(?:the~)?above~(?:and~)?(?:then~)?"
    r"(?:instead|say|tell|print|output|write|reveal|repeat|respond|reply))",
)
_GERMAN: Final = _Grammar(
    (("anweisung", "instruktion", "regeln", "vorgaben", "prompt", "befehl"),),
    "ignorier|vergiss|vergessen|missacht",
    rf"{_NOT}(?:ignorier(?:e|en|t)?(?:~sie)?|vergiss|vergessen~sie|missachte(?:n~sie)?)~"
    r"(?:(?:die|alle|allen|alles|deine|ihre|bitte|und|jetzt|saemtliche|samtliche)~){1,4}"
    r"(?:(?:vorherigen|bisherigen|obigen|vorigen|vorangegangenen|fruheren|ursprunglichen)~){0,2}"
    r"(?:anweisungen|instruktionen|regeln|vorgaben|befehle|systemprompts?|prompts?)(?!~nicht)",
)
_FRENCH: Final = _Grammar(
    (("instruction", "consigne", "regle", "directive"),),
    "ignore|oublie|ne",
    r"(?:ignore[rz]?|oublie[rz]?|ne~(?:tiens|tenez)~pas~compte~des?)~(?:(?:toutes?|tous|les|tes|vos|ces|mes|des)~){0,4}"
    r"(?:precedentes~|anciennes~)?(?:instructions|consignes|regles|directives)~"
    r"(?:(?:qui|vous|t|ont|ete|donnees|initiales)~){0,4}"
    r"(?:precedentes?|ci~dessus|anterieures?|d~avant|initiales|systeme)"
    r"|(?:ignore[rz]?|oublie[rz]?)~(?:toutes~)?(?:tes|vos)~(?:instructions|consignes|regles|directives)",
)
_SPANISH: Final = _Grammar(
    (("instruccion", "reglas", "ordenes", "indicacion", "directrices"),),
    "ignor|olvid|descart",
    r"(?:ignor|olvid|descart)(?:a|e|ar|en)~(?:(?:todas?|todos|las|tus|sus|los|estas|de)~){0,4}"
    r"(?:(?:anteriores|previas)~)?(?:instrucciones|reglas|ordenes|indicaciones|directrices)~"
    r"(?:(?:que|te|se|han|dado|del)~){0,4}(?:anteriores|previas|iniciales|sistema|dieron|arriba)"
    r"|(?:ignora|olvida)~(?:todas~)?tus~(?:instrucciones|reglas)",
)
# A new membership or a finished registration is no new role.
_NEW_ROLE: Final = _Grammar(
    (("you",),),
    "you",
    r"(?<!\bif )(?<!\bthat )(?<!\bonce )(?<!\bwhen )(?<!\bbecause )you(?:~are|.re|re)~(?:now|from~now~on)~(?:"
    r"(?:an?|my|the|called|named|acting~as|playing|known~as|pretending)~"
    r"(?!new|member|subscriber|customer|citizen|resident|part\b|proud|owner|few|little|bit|lot|step|registered"
    r"|verified|valued|full|premium|paid|parent|father|mother|mom|dad|host|manager|fan)[a-z0-9]{2,}"
    r"|dan\b|free~(?:from|of)|freed|unrestricted|unfiltered|uncensored|jailbroken|liberated|evil|root\b|sudo\b"
    r"|no~longer~(?:an?\b|bound|restricted|limited|chatgpt|claude|required|constrained|obliged)"
    r"|in~(?:developer|debug|dev|god|admin|maintenance|unrestricted|jailbreak|sudo|opposite|dan)~mode)",
)
_FROM_NOW_ON: Final = _Grammar(
    (("from",), ("you",)),
    "from",
    r"from~now~on~you~(?:are|will|must|shall|should|can)~"
    r"(?:an?\b|act|behave|respond|answer|reply|be|pretend|obey|only|dan\b|free|not|speak|do~anything)",
)
_PRETEND: Final = _Grammar(
    (("restrict", "filter", "censor", "limit", "jailbr", "evil", "rules", "guideline", "dan"),),
    "pretend|act|behave|role",
    r"(?:pretend|act|acting|behave|role~?play)~(?:as~if|as|like|to~be|that|being)~(?:you~(?:are|have|were)~)?"
    r"(?:an?~|the~)?(?:dan(?=[^a-z0-9']{0,4}$|[.,;:!]|~(?:who|which|and|from|now|you)\b)|unrestricted|unfiltered"
    r"|uncensored|jailbroken|evil~(?:ai|assistant|chatbot|bot)|no~(?:restrictions|rules|limits|filters|guidelines))",
)
_WITHOUT: Final = _Grammar(
    (("restriction", "filter", "limitation", "censorship", "guardrail"),),
    "respond|answer|reply|act|behave|speak|operate",
    r"(?:respond|answer|reply|act|behave|speak|operate)~without~(?:any~|all~)?(?:ethical~|moral~|safety~|content~)?"
    r"(?:restrictions|filters?|limitations|censorship|guardrails)",
)
_JAILBREAK: Final = _Grammar(
    (),
    "jailbreak|you|now",
    r"jailbreak~(?:yourself|mode|(?:the|this)~(?:model|ai|assistant|system|chat))"
    r"|(?:you~(?:are|have~been)|now)~jailbroken",
)
_ANYTHING_NOW: Final = _Grammar((("anything",),), "do", "do~anything~now")
_DAN: Final = _Grammar(
    (),
    "dan|act|you|called|named|be|as",
    r"dan~mode|(?:act~as|you~are|you.re|called|named|be|become|as)~(?:a~)?dan"
    r"(?=~(?:who|which|and~(?:can|do)|from~now|now|you)|[,:;]~you)",
)
# Addressed to the model, or an order by itself: "how do I enter developer mode on my phone" is neither.
_MODES: Final = _Grammar(
    (("developer", "jailbreak", "unrestricted", "sudo", "god"),),
    "you|chatgpt|gpt|ai|assistant|model|claude|respond|answer|reply|act|simulate|enter|enable|activate|switch|developer|god",
    r"(?:you|chatgpt|gpt|ai|assistant|model|claude|respond|answer|reply|act|simulate)~(?:[a-z0-9]{1,12}~){0,4}"
    r"(?:in|with|enter|enable|as|has)~developer~mode"
    r"|(?:(?<![a-z0-9] )|(?<=now )|(?<=then )|(?<=please )|(?<=must )|(?<=will )|(?<=and ))"
    r"(?:enter|enable|activate|switch~to|simulate)~(?:developer|jailbreak|unrestricted|sudo)~mode"
    r"(?!~(?:on|in|for|from|via|under|by|using|when)\b)"
    r"|developer~mode~(?:output|enabled~you|with~(?:no|all))|god~mode~(?:enabled|activated|on)",
)
_SHOW: Final = (
    r"(?:reveal|print|repeat|show|display|output|tell|give|dump|expose|disclose|leak|share|recite|paste|write~out"
    r"|what~(?:is|was|are|were)|what.s|read~out|spell~out)"
)
_SHOWN: Final = (
    r"(?:me|us|back|out|to|the|your|its|all|of|this|full|entire|complete|exact|whole|verbatim|original|initial|hidden"
    r"|secret|above|contents?|text|words?|word~for~word|precise|own|current|internal|actual|very|first|confidential)"
)
_YOURS: Final = (
    r"your~(?:(?:full|exact|entire|complete|own|original|initial|internal|current|secret|hidden|custom)~){0,2}"
    r"(?:instructions?|prompts?|rules|directives|guidelines|configuration)"
    r"(?!~(?:for~(?!me\b|us\b)|(?:on|about|regarding|around|when|concerning)\b))"
)
_DRAW_OUT: Final = _Grammar(
    (("system", "initial", "hidden", "original", "developer", "secret", "pre", "your", "above"),),
    "system|initial|hidden|original|developer|secret|pre|your|above",
    r"(?:system|initial|hidden|original|developer|secret|pre)~(?:prompts?|instructions?|directives?)"
    rf"|(?:system|hidden|developer)~messages?|{_YOURS}|above~(?:instructions?|prompts?)",
    rf"{_SHOW}~(?:{_SHOWN}~){{0,6}}\Z",
)
# These verbs have everyday uses: only what is the model's own counts behind them.
_DRAW_OUT_OWN: Final = _Grammar(
    (("your",),),
    "your",
    rf"{_YOURS}|your~(?:{_SHOWN}~){{0,3}}(?:system|initial|hidden|developer)~(?:prompts?|instructions?|messages?)",
    rf"(?:copy|return|list|quote|echo|provide|translate|summari[sz]e|describe|encode)~(?:{_SHOWN}~){{0,6}}\Z",
)
_REPEAT_ABOVE: Final = _Grammar(
    (("repeat", "print", "output", "copy", "recite"),),
    "repeat|print|output|copy|recite",
    r"(?:repeat|print|output|copy|recite)~(?:back~)?"
    r"(?:everything|all|the~(?:words?|text|instructions?|sentences?|lines?|content|paragraphs?))~(?:of~)?(?:the~)?"
    r"(?:text~|words~|content~)?(?:that~(?:is|was|are|were|appears?|came)~)?"
    r"(?:above|before~this|starting~with~.?you~are)",
)

# The first lists are the cost of a text without a finding: as few words as will do, and each a search of
# plain text.
_GRAMMARS: Final[tuple[tuple[tuple[str, ...], tuple[_Grammar, ...]], ...]] = (
    (
        ("ignor", "disregard", "forget", "overrid", "bypass", "discard", "attention", "follow", "obey"),
        (_OVERRULE, _FORGET, _FRENCH, _SPANISH, _GERMAN),
    ),
    (("verg", "missacht"), (_GERMAN,)),
    (("oubli",), (_FRENCH,)),
    (("olvid", "descart"), (_SPANISH,)),
    (("now",), (_NEW_ROLE, _FROM_NOW_ON, _ANYTHING_NOW)),
    (("pretend", "behave", "act", "role"), (_PRETEND,)),
    (("without",), (_WITHOUT,)),
    (("jailbr",), (_JAILBREAK,)),
    (("dan",), (_DAN,)),
    (("mode",), (_MODES,)),
    (
        ("prompt", "instruction", "message", "rules", "directive", "guideline", "configuration"),
        (_DRAW_OUT, _DRAW_OUT_OWN),
    ),
    (("above", "before", "starting"), (_REPEAT_ABOVE,)),
)

_ROLE_MARK: Final = re.compile(
    r"<\|[ ]?(?:im_(?:start|end|sep)|start_header_id|end_header_id|begin_of_text|end_of_text|endoftext|eot_id"
    r"|eom_id|start_of_role|end_of_role|system|user|assistant|tool|developer|end|channel|message|start|return|call)"
    r"[ ]?\|>"
    r"(?:[ ]?(?:system|user|assistant|developer|tool)\b)?"
)
_BRACKETED: Final = re.compile(r"\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>")
_HEADING: Final = re.compile(
    r"#{2,6}[ \t]{0,4}(?:system(?:[ ](?:prompt|message))?|instruction|assistant)[ \t]{0,2}:"
)

MARKUP: Final[Sequence[Group]] = (
    Group(("<",), (Phrase(needs=(("<|",),), heads=re.compile(r"<\|"), pattern=_ROLE_MARK),)),
    Group(
        ("[", "<"),
        (
            Phrase(
                needs=(("inst]", "sys>>", "_of_turn>"),),
                heads=re.compile(r"\[/?inst\]|<</?sys>|<(?:start|end)_of"),
                pattern=_BRACKETED,
            ),
        ),
    ),
    Group(
        ("#",),
        (
            Phrase(
                needs=(("##",), ("system", "instruction", "assistant")),
                heads=re.compile("(?<!#)##"),
                pattern=_HEADING,
            ),
        ),
    ),
)
"""Marks with which chat templates tell roles apart."""


def _compiled(gap: str, before: str, after: str) -> tuple[Group, ...]:
    return tuple(
        Group(
            needs,
            tuple(
                Phrase(
                    needs=one.needs,
                    heads=re.compile(one.heads),
                    pattern=re.compile(f"{before}(?:{one.pattern.replace('~', gap)}){after}"),
                    lead=re.compile(before + one.lead.replace("~", gap)) if one.lead else None,
                )
                for one in grammars
            ),
        )
        for needs, grammars in _GRAMMARS
    )


STRICT: Final[Sequence[Group]] = _compiled(r"(?:[^a-z0-9]{1,8})", r"(?<![a-z0-9])", r"(?![a-z0-9])")
"""For words as they are written."""

LOOSE: Final[Sequence[Group]] = _compiled(r"(?:[^a-z0-9]{0,8})", "", "")
"""For words that were split into letters or glued together."""
