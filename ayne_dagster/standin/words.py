"""Invented texts: titles, names, plots, keywords, from word lists and a number. No dates, money or shapes.

Every function is pure: the same number gives the same text. Nothing here is taken from a real movie; where a
made title happens to exist, that is chance.
"""

from __future__ import annotations

from typing import NamedTuple


def _list(text: str, separator: str = " ") -> tuple[str, ...]:
    return tuple(text.split(separator))


ADJECTIVES = _list(
    "Amber Ashen Bitter Borrowed Brittle Broken Burning Careful Cobalt Crooked Distant Drowned Eleventh "
    "Empty Endless Faithful Fallen Feral Forgotten Frozen Gentle Gilded Hollow Hidden Idle Iron Last "
    "Lesser Little Lonely Lost Lucid Midnight Nameless Narrow Northern Paper Patient Quiet Reckless "
    "Restless Rusted Salted Scarlet Second Secret Silent Sleepless Slow Spare Stolen Stubborn Sunken "
    "Tender Thousandth Thirsty Unfinished Unlit Velvet Wandering Winter Wild",
)
NOUNS = _list(
    "Almanac Anchor Apprentice Archive Atlas Balcony Bargain Beacon Beekeeper Bellows Bridge Brother "
    "Cabinet Carousel Cartographer Chorus Clockmaker Colony Compass Courier Daughter Delta Detour Diver "
    "Echo Ember Engine Envoy Estuary Ferry Festival Foundry Furnace Garden Glacier Granary Harbour Harvest "
    "Heir Horizon Hour Inheritance Island Jury Keeper Kingdom Labyrinth Lantern Ledger Letter Lighthouse "
    "Locksmith Machine Magpie Map Meridian Mirror Monsoon Mountain Neighbour Observatory Orchard Orchestra "
    "Passenger Pilot Quarry Question Railway Recital River Rooftop Rumour Saltworks Season Shadow Signal "
    "Sister Sparrow Station Stranger Summer Surgeon Tailor Tide Tower Treaty Tunnel Umbrella Understudy "
    "Valley Verdict Vineyard Violin Voyage Wager Watchman Weaver Weather Witness Workshop Year",
)
PLACES = _list(
    "Alderquay Bessarine Calverton Dornmark Eskerhaven Fennimoor Galdrova Hollinport Istravale Jundara "
    "Kesselbrook Lorvanto Marrowby Norrinsk Oslavar Pelhamry Quillon Rostaval Sandmere Tarnowick Ulverra "
    "Vandermoss Westrigg Yarroway",
)
FIRST_NAMES = _list(
    "Adela Anouk Arlo Bastian Brisa Calla Cassim Dario Delphine Edda Elio Emeka Farah Fenna Gideon Greta "
    "Haruna Hollis Idris Imke Ines Jarek Jonah Juno Kaveh Keiko Lazlo Leontine Lior Maeve Malik Mirela "
    "Nadim Noor Odile Oskar Paloma Piet Quentin Rafaela Renske Rohan Sanna Selim Tamsin Teodor Uma Ulf "
    "Vera Viggo Wanda Wim Xenia Yael Yusuf Zora",
)
SURNAMES = _list(
    "Abernach Aldovar Amsel Barlowe Belcastro Brandvik Caskell Cordova-Lund Dallimore Dragunov Ekelund "
    "Esterhay Falkenau Farrowdale Ganzari Grimaldo Halvorsen-Oye Harrowgate Ibbotsen Ilunga Jankovar "
    "Jessup-Rae Kalloway Kirchmann Kovarin Lindqvale Lomasky Mandrake-Ito Marchetta Montrose-Bey "
    "Nakadai-Holm Nystrand Obradov Okonjo Palmgren Pettifer-Shah Quarrington Quispel Ravndal Rosalba "
    "Sallinen Sokolade Tamburi Thackerby Ueberroth Underhay Vantongeren Varga-Lowe Wexcombe Whitlocke "
    "Xanthou Yarrowby Yilmazer Zabrinski Zuiderveen",
)
JOBS = _list(
    "baker bookbinder botanist captain carpenter clerk conductor detective diplomat doctor driver farmer "
    "forger gardener glazier historian journalist judge lifeguard magician mechanic midwife miner nurse "
    "painter pharmacist pianist pilot poacher postman professor puppeteer referee sailor sculptor soldier "
    "surveyor teacher translator widow",
)
DEEDS = _list(
    "cross the border|find a missing sister|keep an old promise|outlive a rival|rebuild the family house|"
    "win back a name|hide a stranger|return a stolen violin|solve a case nobody wants solved|"
    "save the last harvest|finish a letter|stop a wedding|raise a sunken ferry|teach a wolf to trust|"
    "sell a mountain|forgive a thief|run for mayor|land a broken aeroplane|translate a confession|"
    "survive the longest night of the year|bury a secret for good",
    "|",
)
TURNS = _list(
    "the river freezes|the war reaches the valley|the money runs out|a letter arrives thirty years late|"
    "the lights go out|an heir appears|the bridge is closed|the jury returns|the circus leaves town|"
    "the storm makes landfall|the train is sealed|a witness remembers|the harvest fails|the ice gives way|"
    "the election is called|the last ferry sails|the debt falls due|the archive burns",
    "|",
)
CLOSINGS = _list(
    "Nobody asks who paid for it.|Some doors only open once.|What follows divides two families.|"
    "It takes one summer.|The truth is worse than the rumour.|Everyone remembers it differently.|"
    "The town never speaks of it again.|Only the dog knows.|By morning nothing is the same.|"
    "Friendship has its price.|The map was right all along.|There is no way back.|"
    "An unlikely alliance forms.|Someone has been counting.|The silence says enough.|A small lie grows up.|"
    "The past keeps its appointments.|It is not the first time.|Love has other plans.",
    "|",
)
SLOGANS = _list(
    "Every house keeps one secret.|Some promises float.|He came for the quiet.|Trust the tide.|Look up.|"
    "Twice is a habit.|The truth takes the night train.|Nothing stays buried in sand.|"
    "She never missed a stop.|All roads lead out.|Bring a coat.|The last one out turns off the sun.|"
    "Lose the map.|Everyone owes someone.|Only fools keep time.|Sing louder.|There is always a second key.|"
    "It began with a Tuesday.|Hold your breath.|Not every guest was invited.|Count the chairs.|"
    "Some winters never end.|Be home by dawn.",
    "|",
)
KEYWORDS = _list(
    "amnesia|ancient map|apprentice|archive|avalanche|bakery|beekeeping|betrayal|border town|bridge|"
    "brothers|caravan|chess|circus|coal mine|coming home|courtroom|desert|double life|drought|election|"
    "estate sale|exile|ferry|flood|forgery|ghost ship|glacier|harbour|heist gone wrong|inheritance|island|"
    "jury|last wish|letter|lighthouse|lost film|mistaken identity|monastery|mountain rescue|night train|"
    "observatory|old friends|orchestra|pickpocket|pilgrimage|postcard|prophecy|quarry|radio play|railway|"
    "reunion|rivalry|road trip|sisters|smuggler|snowstorm|stowaway|twins|understudy|vineyard",
    "|",
)
COMPANY_HEADS = _list(
    "Blue Heron|Copper Kettle|Driftwood|Eleven Oaks|Fourth Lantern|Grey Harbour|High Tide|Inkwell|"
    "Juniper Lane|Kite & Anchor|Long Shadow|Moth Light|North Quay|Old Mill|Paper Moth|Quiet Engine|"
    "Red Thimble|Salt Road|Tin Compass|Upper Deck|Violet Hour|Wet Ink|Yellow Tram|Zinc Roof",
    "|",
)
COMPANY_TAILS = ("Pictures", "Films", "Entertainment", "Filmproduktion", "Studio", "Productions", "Cinéma")
AWARD_NAMES = ("Golden Anchor", "Silver Reel of Eskerhaven", "Lantern Prize", "Critics' Compass")


class Language(NamedTuple):
    """A language with the country that stands for it, as TMDB and OMDb write them."""

    code: str
    english_name: str
    name: str
    country_code: str
    country: str
    syllables: tuple[str, ...]
    """What invented titles in the language are made of; empty for English."""


LANGUAGES = (
    Language("en", "English", "English", "US", "United States of America", ()),
    Language("en", "English", "English", "GB", "United Kingdom", ()),
    Language(
        "fr",
        "French",
        "Français",
        "FR",
        "France",
        ("vé", "lan", "çois", "mer", "dou", "rêve", "bril", "aine"),
    ),
    Language("es", "Spanish", "Español", "ES", "Spain", ("ca", "ñora", "lum", "bre", "sol", "mar", "güe", "día")),
    Language(
        "de",
        "German",
        "Deutsch",
        "DE",
        "Germany",
        ("wald", "süß", "mond", "grün", "licht", "tür", "stein", "weg"),
    ),
    Language(
        "it",
        "Italian",
        "Italiano",
        "IT",
        "Italy",
        ("lu", "ce", "città", "vento", "mare", "pio", "bel", "nera"),
    ),
    Language("ja", "Japanese", "日本語", "JP", "Japan", ("月", "の", "川", "夜", "影", "港", "灯", "旅")),
    Language(
        "ko",
        "Korean",
        "한국어/조선말",
        "KR",
        "South Korea",
        ("달", "바다", "집", "밤", "길", "꽃", "섬", "문"),
    ),
    Language(
        "cn",
        "Cantonese",
        "广州话 / 廣州話",
        "HK",
        "Hong Kong",
        ("山", "河", "夢", "城", "火", "鶴", "雨", "路"),
    ),
    Language("hi", "Hindi", "हिन्दी", "IN", "India", ("रात", "सागर", "गीत", "दीप", "राह", "मन")),
    Language("ru", "Russian", "Pусский", "RU", "Russia", ("зима", "свет", "река", "дом", "тень", "мост")),
    Language("pt", "Portuguese", "Português", "BR", "Brazil", ("são", "rio", "luz", "coração", "vila", "chu", "va")),
    Language("sv", "Swedish", "svenska", "SE", "Sweden", ("sjö", "natt", "vår", "älv", "hus", "ljus", "å", "ker")),
    Language("xx", "No Language", "No Language", "US", "United States of America", ()),
)

GENRES = (
    (28, "Action"),
    (12, "Adventure"),
    (16, "Animation"),
    (35, "Comedy"),
    (80, "Crime"),
    (99, "Documentary"),
    (18, "Drama"),
    (10751, "Family"),
    (14, "Fantasy"),
    (36, "History"),
    (27, "Horror"),
    (10402, "Music"),
    (9648, "Mystery"),
    (10749, "Romance"),
    (878, "Science Fiction"),
    (53, "Thriller"),
    (10752, "War"),
    (37, "Western"),
)
"""TMDB's genre numbers and names."""


def title(n: int) -> str:
    """An English title. There are some 40,000: a large catalogue has namesakes, as the real one has."""
    n, pattern = divmod(n, 8)
    n, a = divmod(n, len(ADJECTIVES))
    n, b = divmod(n, len(NOUNS))
    n, c = divmod(n, len(NOUNS))
    place = PLACES[n % len(PLACES)]
    adjective, noun, other = ADJECTIVES[a], NOUNS[b], NOUNS[c]
    if pattern == 0:
        return f"The {adjective} {noun}"
    if pattern == 1:
        return f"{adjective} {noun}"
    if pattern == 2:
        return f"The {noun} of {place}"
    if pattern == 3:
        return f"{noun} & {other}" if b != c else f"{noun}"
    if pattern == 4:
        return f"A {noun} for {FIRST_NAMES[c % len(FIRST_NAMES)]}"
    if pattern == 5:
        return f"{place}: The {adjective} {noun}"
    if pattern == 6:
        return f"{FIRST_NAMES[c % len(FIRST_NAMES)]}'s {noun}"
    return f'"{adjective}" and the {noun}'


def foreign_title(n: int, language: Language) -> str:
    """A title in the language's own letters, from its syllables; `language` must have some."""
    parts = []
    for _ in range(3):
        n, k = divmod(n, len(language.syllables))
        parts.append(language.syllables[k])
    return "".join(parts).capitalize()


def person_name(n: int) -> str:
    """A person's name; about 80,000 different ones."""
    n, first = divmod(n, len(FIRST_NAMES))
    n, last = divmod(n, len(SURNAMES))
    initial = "" if n % 3 else f" {'ABCDEFGHIJKLMNOPRSTVW'[n % 21]}."
    return f"{FIRST_NAMES[first]}{initial} {SURNAMES[last]}"


def company_name(n: int) -> str:
    """A production company's name; 168 different ones."""
    n, head = divmod(n, len(COMPANY_HEADS))
    return f"{COMPANY_HEADS[head]} {COMPANY_TAILS[n % len(COMPANY_TAILS)]}"


def overview(n: int, revision: int) -> str:
    """A plot in two sentences. Another revision is another text (the first 342 of them)."""
    n, job = divmod(n, len(JOBS))
    n, place = divmod(n, len(PLACES))
    n, deed = divmod(n, len(DEEDS))
    n, turn = divmod(n, len(TURNS))
    closing = CLOSINGS[(n + revision) % len(CLOSINGS)]
    turn = (turn + revision // len(CLOSINGS)) % len(TURNS)
    article = "An" if JOBS[job][0] in "aeiou" else "A"
    return f"{article} {JOBS[job]} from {PLACES[place]} has to {DEEDS[deed]} before {TURNS[turn]}. {closing}"


def tagline(n: int, revision: int) -> str:
    """A tagline. Another revision is another text (the first 23 of them)."""
    return SLOGANS[(n + revision) % len(SLOGANS)]


def keywords(n: int, revision: int) -> list[tuple[int, str]]:
    """Three to seven keywords with their numbers. Another revision is another set (the first 61 of them)."""
    n, count = divmod(n, 5)
    chosen = [(n + revision + 7 * k) % len(KEYWORDS) for k in range(3 + count)]
    return [(1500 + 13 * k, KEYWORDS[k]) for k in chosen]
