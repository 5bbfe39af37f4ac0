"""Short clinical notes, statements about them, and whether the note bears the statement out.

A note is a few facts; a statement is about one thing. It follows from the note (``yes``), is ruled out by it (``no``)
or is left open (``maybe``). MedNLI's labels for the same three are entailment, contradiction and neutral.
"""

import random
from dataclasses import dataclass
from typing import Literal

from corpus.records import Label

Topic = Literal["symptom", "drug", "history", "lab", "procedure"]
State = Literal["present", "absent", "high", "low", "normal"]

# Each thing has the words of the note first and what else it may be called in a statement.
THINGS: dict[Topic, tuple[tuple[str, ...], ...]] = {
    "symptom": (
        ("fever", "a raised temperature"),
        ("cough",),
        ("chest pain", "pain in the chest"),
        ("dyspnoea", "shortness of breath"),
        ("nausea",),
        ("emesis", "vomiting"),
        ("headache", "pain in the head"),
        ("vertigo", "dizziness"),
        ("pruritus", "itching"),
        ("abdominal pain", "pain in the belly"),
        ("back pain", "pain in the back"),
        ("diarrhoea", "loose stools"),
        ("constipation",),
        ("fatigue", "tiredness"),
        ("insomnia", "trouble sleeping"),
        ("palpitations",),
        ("leg oedema", "swelling of the legs"),
        ("weight loss",),
        ("night sweats",),
        ("dysuria", "pain on passing urine"),
        ("haematuria", "blood in the urine"),
        ("epistaxis", "nose bleeds"),
        ("rash",),
        ("joint pain", "arthralgia"),
        ("sore throat",),
        ("blurred vision",),
        ("tinnitus", "ringing in the ears"),
        ("wheezing",),
        ("chills",),
        ("syncope", "fainting"),
    ),
    "drug": tuple(
        (name,)
        for name in (
            "metoprolol",
            "lisinopril",
            "aspirin",
            "warfarin",
            "insulin",
            "metformin",
            "furosemide",
            "prednisone",
            "albuterol",
            "omeprazole",
            "amoxicillin",
            "gabapentin",
            "sertraline",
            "atorvastatin",
            "levothyroxine",
            "morphine",
            "heparin",
            "digoxin",
            "amlodipine",
            "ibuprofen",
        )
    ),
    "history": (
        ("hypertension", "high blood pressure"),
        ("diabetes",),
        ("myocardial infarction", "a heart attack"),
        ("stroke",),
        ("asthma",),
        ("epilepsy", "a seizure disorder"),
        ("hyperlipidaemia", "high cholesterol"),
        ("atrial fibrillation", "an irregular heart rhythm"),
        ("heart failure",),
        ("renal failure", "kidney failure"),
        ("depression",),
        ("breast cancer",),
        ("hepatitis", "inflammation of the liver"),
        ("gout",),
        ("anaemia",),
        ("pneumonia",),
        ("osteoporosis",),
        ("migraine",),
        ("tuberculosis",),
        ("alcohol abuse", "heavy drinking"),
    ),
    "lab": (
        ("creatinine",),
        ("potassium",),
        ("sodium",),
        ("glucose", "blood sugar"),
        ("haemoglobin",),
        ("white cell count",),
        ("platelet count",),
        ("blood pressure",),
        ("heart rate", "pulse"),
        ("temperature",),
        ("lactate",),
        ("bilirubin",),
        ("calcium",),
        ("troponin",),
        ("albumin",),
    ),
    "procedure": (
        ("appendectomy", "removal of the appendix"),
        ("cholecystectomy", "removal of the gallbladder"),
        ("colonoscopy",),
        ("coronary bypass",),
        ("hip replacement",),
        ("splenectomy", "removal of the spleen"),
        ("hysterectomy", "removal of the womb"),
        ("dialysis",),
        ("bronchoscopy",),
        ("cataract surgery",),
        ("a blood transfusion",),
        ("cardiac catheterisation",),
        ("thyroidectomy", "removal of the thyroid"),
        ("knee replacement",),
        ("endoscopy",),
    ),
}

NOTE: dict[tuple[Topic, State], tuple[str, ...]] = {
    ("symptom", "present"): (
        "Reports {x}.",
        "Complains of {x}.",
        "Presented with {x}.",
        "Has had {x} for {n} days.",
        "Admitted with {x}.",
        "Ongoing {x}.",
        "{S} describes {x} since last week.",
        "There is {x}.",
    ),
    ("symptom", "absent"): (
        "Denies {x}.",
        "No {x}.",
        "{S} has no {x}.",
        "Without {x}.",
        "Negative for {x}.",
        "There has been no {x}.",
        "Free of {x}.",
        "Not troubled by {x}.",
    ),
    ("drug", "present"): (
        "Takes {x}.",
        "On {x} {n} mg daily.",
        "{S} was started on {x}.",
        "Continues {x}.",
        "Given {x}.",
        "Treated with {x}.",
        "Receiving {x}.",
    ),
    ("drug", "absent"): (
        "{x} was stopped.",
        "No longer takes {x}.",
        "{x} was discontinued.",
        "Not on {x}.",
        "{S} does not take {x}.",
        "Off {x}.",
        "Never given {x}.",
    ),
    ("history", "present"): (
        "History of {x}.",
        "Known {x}.",
        "Past history includes {x}.",
        "{S} was diagnosed with {x} in {y}.",
        "Longstanding {x}.",
        "Has {x}.",
    ),
    ("history", "absent"): (
        "No history of {x}.",
        "{S} never had {x}.",
        "Past history is negative for {x}.",
        "No known {x}.",
        "Denies a history of {x}.",
    ),
    ("lab", "high"): (
        "{x} was elevated.",
        "{x} was high.",
        "High {x}.",
        "{x} was raised on arrival.",
        "{x} above range.",
    ),
    ("lab", "low"): (
        "{x} was low.",
        "Low {x}.",
        "{x} was decreased.",
        "{x} was reduced on arrival.",
        "{x} below range.",
    ),
    ("lab", "normal"): (
        "{x} was normal.",
        "Normal {x}.",
        "{x} within normal limits.",
        "{x} in range.",
        "{x} unremarkable.",
    ),
    ("procedure", "present"): (
        "Underwent {x} in {y}.",
        "Status post {x}.",
        "{S} had {x} last year.",
        "{x} was performed.",
        "{x} was done without problems.",
    ),
    ("procedure", "absent"): (
        "Has not had {x}.",
        "Declined {x}.",
        "{x} was not performed.",
        "{S} never underwent {x}.",
        "{x} was cancelled.",
    ),
}

STATEMENT: dict[tuple[Topic, State], tuple[str, ...]] = {
    ("symptom", "present"): ("the patient has {x}", "{x} is present", "the patient suffers from {x}", "{s} has {x}"),
    ("symptom", "absent"): (
        "the patient has no {x}",
        "{x} is absent",
        "the patient does not have {x}",
        "{s} is free of {x}",
    ),
    ("drug", "present"): ("the patient takes {x}", "the patient is on {x}", "{s} is being treated with {x}"),
    ("drug", "absent"): ("the patient does not take {x}", "the patient is not on {x}", "{s} is off {x}"),
    ("history", "present"): ("the patient has a history of {x}", "the patient has had {x}", "{s} is known to have {x}"),
    ("history", "absent"): ("the patient has no history of {x}", "the patient never had {x}", "{s} has not had {x}"),
    ("lab", "high"): (
        "the {x} is high",
        "the {x} is above normal",
        "the {x} was elevated",
        "the patient has a high {x}",
    ),
    ("lab", "low"): ("the {x} is low", "the {x} is below normal", "the {x} was decreased", "the patient has a low {x}"),
    ("lab", "normal"): ("the {x} is normal", "the {x} is within limits", "the patient has a normal {x}"),
    ("procedure", "present"): ("the patient underwent {x}", "the patient has had {x}", "{s} received {x}"),
    ("procedure", "absent"): ("the patient has not had {x}", "the patient did not undergo {x}", "{s} never had {x}"),
}

OPENINGS = (
    "{a} year old {g}.",
    "{S} is a {a} year old {g}.",
    "Seen in clinic today.",
    "Follow-up visit.",
    "Brought in by family.",
)
CLOSINGS = (
    "Plan discussed.",
    "Will return in {n} weeks.",
    "Lives with family.",
    "Exam otherwise unremarkable.",
    "Resting in bed.",
)

STATES: dict[Topic, tuple[State, ...]] = {
    "symptom": ("present", "absent"),
    "drug": ("present", "absent"),
    "history": ("present", "absent"),
    "lab": ("high", "low", "normal"),
    "procedure": ("present", "absent"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing and its state; ``names`` are the words for it, the note's own first."""

    topic: Topic
    names: tuple[str, ...]
    state: State


@dataclass(frozen=True, slots=True)
class Note:
    """A note's text, its facts, and whether it speaks of her or him."""

    text: str
    facts: tuple[Fact, ...]
    pronoun: str


def draw_note(rng: random.Random, facts: int, *, plain: bool = False) -> Note:
    """A note of ``facts`` facts about different things, in random order; ``plain`` ones have few wordings."""
    few = 2 if plain else None
    pronoun, gender = rng.choice((("She", "woman"), ("He", "man")))
    drawn: list[Fact] = []
    while len(drawn) < facts:
        topic = rng.choice(tuple(THINGS))
        names = rng.choice(THINGS[topic])
        if all(names != fact.names for fact in drawn):
            drawn.append(Fact(topic, names, rng.choice(STATES[topic])))

    def fill(pattern: str, name: str = "") -> str:
        text = pattern.format(
            x=name, S=pronoun, g=gender, n=rng.randint(2, 40), a=rng.randint(19, 94), y=rng.randint(1998, 2024)
        )
        return text[0].upper() + text[1:]

    sentences = [fill(rng.choice(NOTE[fact.topic, fact.state][:few]), fact.names[0]) for fact in drawn]
    if rng.random() < 0.4:
        sentences.insert(0, fill(rng.choice(OPENINGS)))
    if rng.random() < 0.3:
        sentences.append(fill(rng.choice(CLOSINGS)))
    return Note(" ".join(sentences), tuple(drawn), pronoun)


def draw_statement(note: Note, wanted: Label, rng: random.Random, *, plain: bool = False) -> tuple[str, Fact]:
    """A statement that the note bears out (``yes``), rules out (``no``) or leaves open (``maybe``), and its thing."""
    fact = rng.choice(note.facts)
    if wanted == "maybe":
        topic = fact.topic if rng.random() < 0.7 else rng.choice(tuple(THINGS))
        taken = {known.names for known in note.facts}
        names = rng.choice([things for things in THINGS[topic] if things not in taken])
        fact = Fact(topic, names, rng.choice(STATES[topic]))
        state = fact.state
    elif wanted == "yes":
        state = fact.state
    else:
        state = rng.choice([other for other in STATES[fact.topic] if other != fact.state])
    subject = "she" if note.pronoun == "She" else "he"
    few = 1 if plain else None
    return rng.choice(STATEMENT[fact.topic, state][:few]).format(x=rng.choice(fact.names[:few]), s=subject), fact
