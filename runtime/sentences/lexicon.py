"""Word lists: the four groups of a vocabulary, and the words by which `notes` recognises what a sentence asks. They are for English.

Every entry stands for its inflections (see `words.base_forms`). A set in `GROUPS` holds words of one meaning, or of a vehicle and who rides
it: if a bundle learned one of them, the text encoder puts the others near it. The sets cover the words of the rendered scenes, which a test
compares.
"""

from __future__ import annotations

from typing import Literal

Group = Literal["kinds", "colours", "garments", "actions"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _sets(text: str) -> tuple[tuple[str, ...], ...]:
    """Sets of words, one per line or between semicolons."""
    return tuple(tuple(part.split()) for part in text.replace("\n", ";").split(";") if part.split())


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split())


GROUPS: dict[Group, tuple[tuple[str, ...], ...]] = {
    "kinds": _sets("""
        man guy gentleman male fellow; woman lady female; child kid; boy; girl; baby infant; toddler; teenager; adult; elderly
        person someone somebody anyone anybody individual human; pedestrian passerby; crowd; family
        cyclist bicyclist bicycle bike; motorcyclist biker motorcycle motorbike; rider; driver; passenger; skater; jogger; runner
        police policeman policewoman cop officer; guard; soldier; worker workman; clerk cashier; employee; customer shopper
        waiter; waitress; student; teacher; doctor; nurse; firefighter; postman; courier; thief robber burglar; suspect; victim; player
        scooter moped; car automobile; taxi cab; van minivan; pickup; truck lorry; bus coach; tram; train; tractor; trailer; ambulance
        vehicle; boat; trolley cart; stroller pram pushchair; wheelchair; skateboard; forklift
        dog; puppy; cat; kitten; animal; bird; pigeon; horse; cow; sheep; deer; fox; rabbit; duck
    """),
    "colours": _sets("""
        black; white; grey gray; silver; red; orange; yellow; green; blue; purple violet; pink; brown; beige tan; cream; navy
        maroon burgundy; turquoise teal; gold golden; khaki; dark; light; bright; dark-coloured dark-colored
        light-coloured light-colored; colourful colorful; blond blonde; fair
    """),
    "garments": _sets("""
        jacket; coat; shirt; t-shirt tshirt tee-shirt tee; pullover sweater jumper sweatshirt; hoodie; cardigan; top; blouse; dress
        vest waistcoat; suit; uniform; apron; trousers pants slacks; jeans; skirt; shorts; leggings; cap hat; helmet; hood; scarf; glove
        tie; belt; mask; shoe; sneaker trainer; boot; sandal; glasses spectacles; sunglasses; clothes clothing; outfit; raincoat
        overalls; bag handbag purse; backpack rucksack; suitcase luggage; briefcase; umbrella; box package parcel
    """),
    "actions": _sets("""
        walk stroll; run jog sprint; stand; stop halt; wait; turn; ride cycle; drive; enter; leave exit depart; come arrive approach; pass
        go move; cross; carry hold; stay remain; park; sit; lie; fall; jump; climb; kneel; bend; lean; crawl; dance; play; swim
        push; pull; drag; lift raise; pick; put; take grab; give; throw; catch; drop; open; close shut; lock; unlock; load; unload
        talk speak chat; look watch; point; wave; shout; laugh; smile; cry; sleep; eat; drink; smoke; read; write; cook; clean; wash
        sweep; fight; hit punch; kick; beat; attack; shoot; stab; steal; rob; break smash; burn; chase; follow; hug; kiss; shake
        search; hide; crash; appear; disappear; begin start; return; work; use; touch; wear
    """),
}

# Forms that no suffix gives. "dressed" is no dress.
IRREGULAR = _pairs("""
    men=man women=woman gentlemen=gentleman ladies=lady children=child people=person feet=foot knives=knife thieves=thief dressed=wear
    ran=run stood=stand rode=ride ridden=ride drove=drive driven=drive went=go gone=go goes=go heading=go came=come wore=wear worn=wear
    held=hold sat=sit lay=lie lain=lie lying=lie fell=fall fallen=fall threw=throw thrown=throw took=take taken=take gave=give given=give
    caught=catch fought=fight shot=shoot stole=steal stolen=steal broke=break broken=break ate=eat eaten=eat drank=drink spoke=speak
    spoken=speak knelt=kneel bent=bend shook=shake shaken=shake slept=sleep swept=sweep wrote=write written=write hid=hide hidden=hide
    began=begin begun=begin swam=swim
""")

# Words that say little about a picture by themselves, so that no caption needs them.
FUNCTION_WORDS = _words("""
    a an the this that these those some any each every all both other another same such one ones i me my we us our you your he him his she
    her it its they them their who whom whose which what where when while as if than then there here and or but so because also too very
    just be is are was were been being am has have had having do does did doing can could will would shall should may might must in on at
    by to of for from with into onto out up down over under between through across along around about against near next beside behind
    before after above below off past toward towards during until since again away back only still now together
    more less fewer most least first second third last
    someone somebody anyone anybody everyone everybody person people something somewhere anything thing things
    go goes going went gone heading kind sort type way lot bit colour color coloured colored colours colors
    find show see seen search get gets got getting let wear wearing wears wore worn dressed piece side part scene camera video picture
""")

NEGATIONS = _words("no not never without nobody none nothing nowhere neither nor cannot except noone no-one non")

NUMBERS = _words("two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty hundred dozen")
COUNTS = NUMBERS | _words("several many multiple numerous couple twice thrice")

MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
# "march" and "may" have other meanings without a number.
TIMES = _words("""
    night nighttime midnight morning noon midday afternoon evening tonight dawn dusk sunrise sunset today yesterday tomorrow weekend
    monday tuesday wednesday thursday friday saturday sunday january february april june july august september october november december
""")

# Frequent words of German, French, Spanish, Italian, Portuguese, Dutch and Polish that are no English words, two letters or more:
# articles, prepositions, and what cameras see.
FOREIGN = _words("""
    der das ein eine einen einem einer mit und im ohne auf vor mann frau hund fahrrad rot rote rotes roten rotem schwarz
    un une le les la des du dans avec sur sans et homme femme voiture chien rouge noir enfant
    el los las una unos unas con del en sin hombre mujer coche perro rojo roja negro negra blanco blanca
    il lo gli uno di che senza nel nella uomo donna macchina cane rosso rossa nero nera bianco bianca
    um uma os com sem na homem mulher cachorro vermelho vermelha preto preta
    het een met zonder vrouw fiets zwarte
    za kobieta samochód czerwonej
""")
