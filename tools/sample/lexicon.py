"""The words of the sample: invented drugs, real conditions and outcomes, and the vocabulary of change.

Drug names are built from syllables and mean nothing; any likeness to a real product is chance.
"""

import random
from dataclasses import dataclass
from typing import Literal

Direction = Literal["down", "up"]


@dataclass(frozen=True, slots=True)
class ChangeWords:
    """The forms in which one direction of change is said."""

    intransitive: tuple[str, ...]
    intransitive_base: tuple[str, ...]
    transitive: tuple[str, ...]
    transitive_base: tuple[str, ...]
    noun: tuple[str, ...]
    comparative: tuple[str, ...]
    participle: tuple[str, ...]


CHANGE: dict[Direction, ChangeWords] = {
    "down": ChangeWords(
        intransitive=("fell", "dropped", "declined", "decreased", "went down", "diminished"),
        intransitive_base=("fall", "drop", "decline", "decrease", "go down", "diminish"),
        transitive=("reduced", "lowered", "decreased", "cut", "diminished", "brought down"),
        transitive_base=("reduce", "lower", "decrease", "cut", "diminish", "bring down"),
        noun=("reduction", "decrease", "decline", "fall", "drop"),
        comparative=("lower", "smaller"),
        participle=("reduced", "lowered", "decreased", "diminished", "brought down"),
    ),
    "up": ChangeWords(
        intransitive=("rose", "climbed", "grew", "increased", "went up", "advanced"),
        intransitive_base=("rise", "climb", "grow", "increase", "go up", "advance"),
        transitive=("raised", "boosted", "increased", "elevated", "pushed up"),
        transitive_base=("raise", "boost", "increase", "elevate", "push up"),
        noun=("rise", "increase", "gain", "elevation"),
        comparative=("higher", "greater", "larger"),
        participle=("raised", "boosted", "increased", "elevated", "pushed up"),
    ),
}

SAME = ("similar", "the same", "equal", "comparable", "unchanged")
NO_EFFECT = ("no effect", "no influence", "no impact", "no bearing")
UNCERTAIN = ("uncertain", "unclear", "inconclusive", "undecided", "open")

_ONSETS = tuple(
    """
    al ba be bi bro ca ce cla da de do dra e fa fe flu ga gi gre ha i ja ka ke lo lu ma me mi na ne o pa
    pe pri ra re ro sa se so ta te to tri u va ve vi xa ze zo
    """.split()  # noqa: SIM905
)
_MIDDLES = tuple(
    """
    ba bri ce co da di do dro fa fi ga go ki la le li lo lu ma me mi mo na ne ni no pa pi po ra re ri ro
    ru sa se si so ta te ti to va ve vi vo xa za
    """.split()  # noqa: SIM905
)
_SUFFIXES = tuple(
    """
    fenib lukast mab mide nazole nib olol oprim oxacin parin pril prazole rafin ril sartan setron statin
    stat tadine tide tinib triptan vastat vir xaban xetine zepam zide zone zumab
    """.split()  # noqa: SIM905
)

THERAPIES = (
    "supervised walking",
    "telephone coaching",
    "music therapy",
    "low-salt dieting",
    "light therapy",
    "breathing exercise",
    "early mobilisation",
    "home monitoring",
    "group education",
    "compression bandaging",
    "acupuncture",
    "plant-based dieting",
    "balance training",
    "sleep counselling",
    "vitamin D",
    "oral zinc",
    "warm saline rinsing",
    "iron infusion",
)

COMPARATORS = ("placebo", "usual care", "standard treatment", "no treatment", "sham treatment", "control treatment")

CONDITIONS = (
    "type 2 diabetes",
    "chronic kidney disease",
    "heart failure",
    "asthma",
    "psoriasis",
    "migraine",
    "epilepsy",
    "knee osteoarthritis",
    "rheumatoid arthritis",
    "ulcerative colitis",
    "chronic hepatitis B",
    "cirrhosis",
    "breast cancer",
    "lung cancer",
    "prostate cancer",
    "multiple sclerosis",
    "Parkinson disease",
    "chronic bronchitis",
    "sickle cell disease",
    "iron deficiency",
    "atrial fibrillation",
    "coronary disease",
    "peripheral artery disease",
    "venous leg ulcers",
    "acute stroke",
    "hip fracture",
    "osteoporosis",
    "low back pain",
    "depression",
    "panic disorder",
    "schizophrenia",
    "insomnia",
    "sleep apnoea",
    "glaucoma",
    "cataract",
    "hearing loss",
    "chronic sinusitis",
    "pneumonia",
    "tuberculosis",
    "malaria",
    "sepsis",
    "burns",
    "pancreatitis",
    "gallstones",
    "endometriosis",
    "polycystic ovaries",
    "preeclampsia",
    "gestational diabetes",
    "preterm birth",
    "bronchiolitis",
    "eczema",
    "acne",
    "celiac disease",
    "obesity",
    "gout",
    "lupus",
    "thyroid nodules",
    "kidney stones",
    "urinary incontinence",
    "irritable bowel",
)

GROUPS = ("patients", "adults", "older adults", "women", "men", "children", "outpatients", "people")

OUTCOMES = (
    "pain score",
    "systolic pressure",
    "diastolic pressure",
    "length of stay",
    "fasting glucose",
    "readmission rate",
    "tumour size",
    "sleep duration",
    "walking distance",
    "body weight",
    "serum creatinine",
    "wound infection rate",
    "nausea score",
    "fatigue score",
    "bone density",
    "seizure frequency",
    "cough frequency",
    "viral load",
    "relapse rate",
    "haemoglobin level",
    "resting heart rate",
    "quality of life score",
    "anxiety score",
    "exercise time",
    "lung volume",
    "waist size",
    "joint stiffness",
    "itch score",
    "urine output",
    "mortality",
    "stroke risk",
    "fall risk",
    "fracture risk",
    "bleeding risk",
    "platelet count",
    "white cell count",
    "cholesterol level",
    "liver enzyme level",
    "eye pressure",
    "reaction time",
    "memory score",
    "grip strength",
    "muscle mass",
    "ulcer area",
    "time to healing",
    "opioid use",
    "antibiotic use",
    "clinic attendance",
    "headache frequency",
    "hot flush frequency",
    "appetite score",
    "serum potassium",
    "oxygen saturation",
    "fever duration",
    "ventilator time",
    "birth weight",
    "transfusion rate",
    "complication rate",
    "inflammation score",
    "treatment cost",
)

ADVERSE = (
    "headache",
    "nausea",
    "dizziness",
    "rash",
    "dry mouth",
    "diarrhoea",
    "fatigue",
    "constipation",
    "a mild cough",
)


def drug_name(rng: random.Random) -> str:
    """An invented drug name of three or four syllables, such as ``lorafenib``."""
    middles = "".join(rng.choice(_MIDDLES) for _ in range(rng.choice((0, 1, 1, 1))))
    return rng.choice(_ONSETS) + rng.choice(_MIDDLES) + middles + rng.choice(_SUFFIXES)
