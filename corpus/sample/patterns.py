"""The sentence patterns of the sample's abstracts, in families.

A family is one way of building a sentence. Slots in braces are filled by :mod:`corpus.sample.abstracts`:
``D`` intervention, ``C`` comparator, ``Y`` outcome, ``P`` population, ``cond`` condition, ``n`` per cent, ``k`` weeks,
``N`` patients, ``p`` small P value, ``q`` large P value, and the change words of :mod:`corpus.sample.lexicon` in the
finding's direction (``vi vib vt vtb noun comp part``), in the opposite one (``vi_``, ``comp_``), ``same``, ``noeff``,
``unc``.

A fifth of the families of every kind, drawn with :data:`HELD_OUT_SEED`, is held out of all training text.
"""

import random
from typing import Literal

HELD_OUT_SEED = 2026
HELD_OUT_SHARE = 0.2
PLAIN = 5

Style = Literal["common", "held_out", "plain"]

FAMILIES: dict[str, tuple[str, ...]] = {
    "effect": (
        "{D} {vt} {Y} compared with {C} (P = {p}).",
        "{Y} {vi} by {n}% with {D} but not with {C}.",
        "Patients given {D} had {comp} {Y} than those given {C} (P < {p}).",
        "Treatment with {D} was followed by a significant {noun} in {Y}.",
        "A {n}% {noun} in {Y} was seen in the {D} group (P = {p}).",
        "Compared with {C}, {D} led to a marked {noun} in {Y}.",
        "At {k} weeks, {Y} was significantly {comp} in the {D} arm than in the {C} arm.",
        "{Y} was significantly {part} by {D} (P = {p}).",
        "There was a clear {noun} in {Y} among those who took {D}.",
        "Use of {D} was associated with {comp} {Y} (P < {p}).",
        "The {D} group showed {comp} {Y}, and the difference was significant.",
        "In the main analysis {D} {vt} {Y} by {n}%.",
        "Relative to {C}, {Y} {vi} in those assigned to {D} (P = {p}).",
        "We observed that {D} significantly {vt} {Y}.",
        "{Y} at follow-up was {n}% {comp} after {D} than after {C}.",
        "Adding {D} {vt} {Y} significantly over {k} weeks.",
        "The effect of {D} on {Y} was a significant {noun} of {n}%.",
        "Significantly {comp} {Y} was recorded with {D} than with {C}.",
        "After {k} weeks of {D}, {Y} {vi} in most participants (P < {p}).",
        "{D} produced a {n}% {noun} in {Y}; {C} produced none.",
        "With {D}, {Y} {vi} significantly from baseline.",
        "{Y} {vi} in the {D} arm while it stayed stable in the {C} arm.",
        "Those randomised to {D} had a {noun} in {Y} (P = {p}).",
        "As to {Y}, {D} brought about a significant {noun}.",
        "Participants on {D} ended with {comp} {Y} than participants on {C}.",
        "The {noun} in {Y} under {D} was significant (P = {p}).",
        "{D} was superior to {C} in that it {vt} {Y}.",
        "Regression confirmed that {D} {vt} {Y} (P < {p}).",
        "{Y} was {part} in the group that received {D} (P = {p}).",
        "Of the two arms, the one given {D} had the {comp} {Y} (P < {p}).",
    ),
    "null": (
        "{D} did not change {Y} compared with {C} (P = {q}).",
        "{Y} did not differ between {D} and {C} (P = {q}).",
        "There was no significant difference in {Y} between {D} and {C}.",
        "{D} had {noeff} on {Y}.",
        "{Y} was {same} in the {D} and {C} arms.",
        "With {D}, {Y} remained {same} throughout.",
        "Neither {D} nor {C} altered {Y}.",
        "We found no {noun} in {Y} with {D} (P = {q}).",
        "{Y} was not significantly {comp} with {D} than with {C}.",
        "{D} failed to {vtb} {Y} (P = {q}).",
        "At {k} weeks, {Y} was {same} whether patients took {D} or {C}.",
        "Patients on {D} and those on {C} had {same} {Y}.",
        "No change in {Y} was seen after {D} (P = {q}).",
        "{Y} neither rose nor fell under {D}.",
        "There was {noeff} of {D} on {Y} at {k} weeks.",
        "Use of {D} was not associated with {comp} {Y} (P = {q}).",
        "The {D} group did not show {comp} {Y} than the {C} group.",
        "{D} was no better than {C} with regard to {Y}.",
        "As to {Y}, the difference between {D} and {C} was not significant.",
        "{D} did not {vtb} {Y} at any visit.",
        "{Y} was not {part} by {D} (P = {q}).",
        "Treatment with {D} was not followed by a {noun} in {Y}.",
        "Compared with {C}, {D} left {Y} {same}.",
        "The analysis showed {noeff} of {D} on {Y} (P = {q}).",
        "{Y} in the {D} arm did not depart from that in the {C} arm.",
    ),
    "unclear": (
        "{Y} tended to be {comp} with {D}, but the interval was wide and the result is {unc}.",
        "A {noun} in {Y} with {D} was seen in one analysis but not in the other, so the result is {unc}.",
        "Too few events occurred to judge the effect of {D} on {Y}.",
        "The effect of {D} on {Y} remained {unc}.",
        "{Y} {vi} in some patients on {D} and {vi_} in others.",
        "Data on {Y} were missing for half of the {D} group, and the finding is {unc}.",
        "Whether {D} {vt} {Y} could not be determined.",
        "The trial was stopped early, and the effect of {D} on {Y} is {unc}.",
        "For {Y} the results with {D} were mixed and remain {unc}.",
        "{D} may have {vt} {Y}, but the sample was too small to tell.",
        "There was a hint of {comp} {Y} with {D} that did not hold in the adjusted model.",
        "{Y} was {comp} with {D} at one centre and {comp_} at another.",
        "It is {unc} from these data whether {D} {vt} {Y}.",
        "The estimate for {Y} under {D} was too imprecise to draw a conclusion.",
        "A possible {noun} in {Y} with {D} needs confirmation, as the result was {unc}.",
    ),
    "question": (
        "Does {D} {vtb} {Y} in {P}?",
        "Is {D} associated with {comp} {Y} in {P}?",
        "Can {D} {vtb} {Y} in {P}?",
        "Is there a {noun} in {Y} with {D} in {P}?",
        "Does treatment with {D} lead to {comp} {Y} in {P}?",
        "Is {Y} {part} by {D} in {P}?",
        "In {P}, does {D} {vtb} {Y}?",
        "Do {P} have {comp} {Y} when treated with {D}?",
        "Should a {noun} in {Y} be expected when {P} receive {D}?",
        "Will {D} {vtb} {Y} in {P}?",
        "Does {Y} {vib} with {D} in {P}?",
        "Among {P}, is {D} followed by a {noun} in {Y}?",
        "Is {Y} {comp} after {D} in {P}?",
        "Are {P} who receive {D} likely to have {comp} {Y}?",
        "Does the use of {D} in {P} {vtb} {Y}?",
        "{D} for {P}: does {Y} {vib}?",
        "Could {D} {vtb} {Y} in {P}?",
        "Does {D} bring about a {noun} in {Y} in {P}?",
        "Is {D} able to {vtb} {Y} in {P}?",
        "Does {Y} become {comp} when {P} take {D}?",
    ),
    "background": (
        "{Y} is a common concern in {P}.",
        "Little is known about {D} in {P}.",
        "We asked whether {D} affects {Y} in {P}.",
        "{D} has been proposed for {P}, and its effect on {Y} has been debated.",
        "The aim was to study {Y} in {P} treated with {D}.",
        "Care of {P} often has to deal with {Y}.",
        "Earlier reports on {D} in {P} disagree.",
        "This study examined the role of {D} in {P}.",
        "For {P}, {Y} matters, and {D} might influence it.",
        "The place of {D} in {cond} has not been settled.",
    ),
    "methods": (
        "In a randomised trial, {N} {P} received {D} or {C} for {k} weeks.",
        "We enrolled {N} {P} and assigned them to {D} or {C}.",
        "{N} {P} were followed for {k} weeks on {D} or {C}.",
        "A cohort of {N} {P} was studied; half were given {D} and half {C}.",
        "Records of {N} {P} treated with {D} or {C} were reviewed.",
        "{N} {P} took part; {Y} was measured at {k} weeks.",
        "{P_cap} ({N} in all) were allocated to {D} or to {C}.",
        "The study compared {D} with {C} in {N} {P} over {k} weeks.",
        "At two hospitals {N} {P} were given {D} or {C} in random order.",
        "Over {k} weeks {N} {P} were treated with either {D} or {C}.",
    ),
    "aside": (
        "Mean age was {age} years and {n}% were women.",
        "Follow-up was complete in {big}% of participants.",
        "{E_cap} was the most common side effect.",
        "{few} participants withdrew because of {E}.",
        "Dropout did not differ between the arms.",
        "Adverse events were mild and {same} in both arms.",
        "Adherence was {big}% at {k} weeks.",
        "The groups were well matched at baseline.",
        "Most visits took place in the morning.",
        "{E_cap} was reported by {n}% of participants.",
        "No deaths related to treatment occurred.",
        "All analyses were by intention to treat.",
        "Median time since diagnosis was {age} months.",
        "Smoking was more frequent among men.",
        "Outcome assessors did not know the allocation.",
    ),
    "conclusion_yes": (
        "{D} {vt} {Y} in {P}.",
        "In {P}, {D} was associated with {comp} {Y}.",
        "Our data support the use of {D}, since it {vt} {Y} in {P}.",
        "These findings point to a {noun} in {Y} when {P} receive {D}.",
        "A {noun} in {Y} can be expected with {D} in {P}.",
    ),
    "conclusion_no": (
        "{D} did not {vtb} {Y} in {P}.",
        "In {P}, there was no {noun} in {Y} with {D}.",
        "These findings do not support {D} as a way to {vtb} {Y} in {P}.",
        "We saw no sign that {D} would {vtb} {Y} in {P}.",
        "{D} cannot be recommended to {vtb} {Y} in {P}.",
    ),
    "conclusion_maybe": (
        "Whether {D} can {vtb} {Y} in {P} remains {unc}.",
        "The evidence on {D} and {Y} in {P} is {unc}.",
        "Larger studies must show whether {D} {vt} {Y} in {P}.",
        "The question of {D} and {Y} in {P} is still {unc}.",
        "These data do not settle whether {D} could {vtb} {Y} in {P}.",
    ),
}


def _draw_held_out() -> dict[str, frozenset[str]]:
    rng = random.Random(HELD_OUT_SEED)
    return {
        kind: frozenset(rng.sample(patterns, round(len(patterns) * HELD_OUT_SHARE)))
        for kind, patterns in FAMILIES.items()
    }


HELD_OUT: dict[str, frozenset[str]] = _draw_held_out()


def patterns(kind: str, style: Style = "common") -> tuple[str, ...]:
    """The families of ``kind``: those in common use, those held out of training text, or a few common ones (plain)."""
    chosen = tuple(pattern for pattern in FAMILIES[kind] if (pattern in HELD_OUT[kind]) == (style == "held_out"))
    return chosen[:PLAIN] if style == "plain" else chosen
