"""Countries and languages: ISO codes, and the English names by which TMDB calls them. Facts alone, no queries.

Codes as in ISO 3166-1 and 639-1, with former states (SU, YU, XC, XG) and TMDB's own codes (xx, cn). The names are those
of its /configuration/countries and /configuration/languages. Two names stand for two codes each: Congo and Ndebele.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

_COUNTRIES = (
    "AD Andorra|AE United Arab Emirates|AF Afghanistan|AG Antigua and Barbuda|AI Anguilla|AL Albania|AM Armenia|"
    "AN Netherlands Antilles|AO Angola|AQ Antarctica|AR Argentina|AS American Samoa|AT Austria|AU Australia|AW Aruba|"
    "AZ Azerbaijan|BA Bosnia and Herzegovina|BB Barbados|BD Bangladesh|BE Belgium|BF Burkina Faso|BG Bulgaria|"
    "BH Bahrain|BI Burundi|BJ Benin|BM Bermuda|BN Brunei Darussalam|BO Bolivia|BR Brazil|BS Bahamas|BT Bhutan|"
    "BU Burma|BV Bouvet Island|BW Botswana|BY Belarus|BZ Belize|CA Canada|CC Cocos  Islands|CD Congo|"
    "CF Central African Republic|CG Congo|CH Switzerland|CI Cote D'Ivoire|CK Cook Islands|CL Chile|CM Cameroon|"
    "CN China|CO Colombia|CR Costa Rica|CS Serbia and Montenegro|CU Cuba|CV Cape Verde|CX Christmas Island|CY Cyprus|"
    "CZ Czech Republic|DE Germany|DJ Djibouti|DK Denmark|DM Dominica|DO Dominican Republic|DZ Algeria|EC Ecuador|"
    "EE Estonia|EG Egypt|EH Western Sahara|ER Eritrea|ES Spain|ET Ethiopia|FI Finland|FJ Fiji|FK Falkland Islands|"
    "FM Micronesia|FO Faeroe Islands|FR France|GA Gabon|GB United Kingdom|GD Grenada|GE Georgia|GF French Guiana|"
    "GH Ghana|GI Gibraltar|GL Greenland|GM Gambia|GN Guinea|GP Guadaloupe|GQ Equatorial Guinea|GR Greece|"
    "GS South Georgia and the South Sandwich Islands|GT Guatemala|GU Guam|GW Guinea-Bissau|GY Guyana|HK Hong Kong|"
    "HM Heard and McDonald Islands|HN Honduras|HR Croatia|HT Haiti|HU Hungary|ID Indonesia|IE Ireland|IL Israel|"
    "IN India|IO British Indian Ocean Territory|IQ Iraq|IR Iran|IS Iceland|IT Italy|JM Jamaica|JO Jordan|JP Japan|"
    "KE Kenya|KG Kyrgyz Republic|KH Cambodia|KI Kiribati|KM Comoros|KN St. Kitts and Nevis|KP North Korea|"
    "KR South Korea|KW Kuwait|KY Cayman Islands|KZ Kazakhstan|LA Lao People's Democratic Republic|LB Lebanon|"
    "LC St. Lucia|LI Liechtenstein|LK Sri Lanka|LR Liberia|LS Lesotho|LT Lithuania|LU Luxembourg|LV Latvia|"
    "LY Libyan Arab Jamahiriya|MA Morocco|MC Monaco|MD Moldova|ME Montenegro|MG Madagascar|MH Marshall Islands|"
    "MK Macedonia|ML Mali|MM Myanmar|MN Mongolia|MO Macao|MP Northern Mariana Islands|MQ Martinique|MR Mauritania|"
    "MS Montserrat|MT Malta|MU Mauritius|MV Maldives|MW Malawi|MX Mexico|MY Malaysia|MZ Mozambique|NA Namibia|"
    "NC New Caledonia|NE Niger|NF Norfolk Island|NG Nigeria|NI Nicaragua|NL Netherlands|NO Norway|NP Nepal|NR Nauru|"
    "NU Niue|NZ New Zealand|OM Oman|PA Panama|PE Peru|PF French Polynesia|PG Papua New Guinea|PH Philippines|"
    "PK Pakistan|PL Poland|PM St. Pierre and Miquelon|PN Pitcairn Island|PR Puerto Rico|PS Palestinian Territory|"
    "PT Portugal|PW Palau|PY Paraguay|QA Qatar|RE Reunion|RO Romania|RS Serbia|RU Russia|RW Rwanda|SA Saudi Arabia|"
    "SB Solomon Islands|SC Seychelles|SD Sudan|SE Sweden|SG Singapore|SH St. Helena|SI Slovenia|"
    "SJ Svalbard & Jan Mayen Islands|SK Slovakia|SL Sierra Leone|SM San Marino|SN Senegal|SO Somalia|SR Suriname|"
    "SS South Sudan|ST Sao Tome and Principe|SU Soviet Union|SV El Salvador|SY Syrian Arab Republic|SZ Swaziland|"
    "TC Turks and Caicos Islands|TD Chad|TF French Southern Territories|TG Togo|TH Thailand|TJ Tajikistan|TK Tokelau|"
    "TL Timor-Leste|TM Turkmenistan|TN Tunisia|TO Tonga|TP East Timor|TR Turkey|TT Trinidad and Tobago|TV Tuvalu|"
    "TW Taiwan|TZ Tanzania|UA Ukraine|UG Uganda|UM United States Minor Outlying Islands|US United States of America|"
    "UY Uruguay|UZ Uzbekistan|VA Holy See|VC St. Vincent and the Grenadines|VE Venezuela|VG British Virgin Islands|"
    "VI US Virgin Islands|VN Vietnam|VU Vanuatu|WF Wallis and Futuna Islands|WS Samoa|XC Czechoslovakia|"
    "XG East Germany|XI Northern Ireland|XK Kosovo|YE Yemen|YT Mayotte|YU Yugoslavia|ZA South Africa|ZM Zambia|"
    "ZR Zaire|ZW Zimbabwe"
)
_LANGUAGES = (
    "xx No Language|aa Afar|ab Abkhazian|ae Avestan|af Afrikaans|ak Akan|am Amharic|an Aragonese|ar Arabic|"
    "as Assamese|av Avaric|ay Aymara|az Azerbaijani|ba Bashkir|be Belarusian|bg Bulgarian|bi Bislama|bm Bambara|"
    "bn Bengali|bo Tibetan|br Breton|bs Bosnian|ca Catalan|ce Chechen|ch Chamorro|cn Cantonese|co Corsican|cr Cree|"
    "cs Czech|cu Slavic|cv Chuvash|cy Welsh|da Danish|de German|dv Divehi|dz Dzongkha|ee Ewe|el Greek|en English|"
    "eo Esperanto|es Spanish|et Estonian|eu Basque|fa Persian|ff Fulah|fi Finnish|fj Fijian|fo Faroese|fr French|"
    "fy Frisian|ga Irish|gd Gaelic|gl Galician|gn Guarani|gu Gujarati|gv Manx|ha Hausa|he Hebrew|hi Hindi|"
    "ho Hiri Motu|hr Croatian|ht Haitian; Haitian Creole|hu Hungarian|hy Armenian|hz Herero|ia Interlingua|"
    "id Indonesian|ie Interlingue|ig Igbo|ii Yi|ik Inupiaq|io Ido|is Icelandic|it Italian|iu Inuktitut|ja Japanese|"
    "jv Javanese|ka Georgian|kg Kongo|ki Kikuyu|kj Kuanyama|kk Kazakh|kl Kalaallisut|km Khmer|kn Kannada|ko Korean|"
    "kr Kanuri|ks Kashmiri|ku Kurdish|kv Komi|kw Cornish|ky Kirghiz|la Latin|lb Letzeburgesch|lg Ganda|li Limburgish|"
    "ln Lingala|lo Lao|lt Lithuanian|lu Luba-Katanga|lv Latvian|mg Malagasy|mh Marshall|mi Maori|mk Macedonian|"
    "ml Malayalam|mn Mongolian|mo Moldavian|mr Marathi|ms Malay|mt Maltese|my Burmese|na Nauru|nb Norwegian Bokmål|"
    "nd Ndebele|ne Nepali|ng Ndonga|nl Dutch|nn Norwegian Nynorsk|no Norwegian|nr Ndebele|nv Navajo|"
    "ny Chichewa; Nyanja|oc Occitan|oj Ojibwa|om Oromo|or Oriya|os Ossetian; Ossetic|pa Punjabi|pi Pali|pl Polish|"
    "ps Pushto|pt Portuguese|qu Quechua|rm Raeto-Romance|rn Rundi|ro Romanian|ru Russian|rw Kinyarwanda|sa Sanskrit|"
    "sc Sardinian|sd Sindhi|se Northern Sami|sg Sango|sh Serbo-Croatian|si Sinhalese|sk Slovak|sl Slovenian|"
    "sm Samoan|sn Shona|so Somali|sq Albanian|sr Serbian|ss Swati|st Sotho|su Sundanese|sv Swedish|sw Swahili|"
    "ta Tamil|te Telugu|tg Tajik|th Thai|ti Tigrinya|tk Turkmen|tl Tagalog|tn Tswana|to Tonga|tr Turkish|ts Tsonga|"
    "tt Tatar|tw Twi|ty Tahitian|ug Uighur|uk Ukrainian|ur Urdu|uz Uzbek|ve Venda|vi Vietnamese|vo Volapük|"
    "wa Walloon|wo Wolof|xh Xhosa|yi Yiddish|yo Yoruba|za Zhuang|zh Mandarin|zu Zulu"
)
_OTHER_COUNTRIES = {
    "Côte d'Ivoire": "CI",
    "Cocos Islands": "CC",
    "Czechia": "CZ",
    "Eswatini": "SZ",
    "Faroe Islands": "FO",
    "Guadeloupe": "GP",
    "Ivory Coast": "CI",
    "Kyrgyzstan": "KG",
    "Laos": "LA",
    "Libya": "LY",
    "Macau": "MO",
    "North Macedonia": "MK",
    "Palestine": "PS",
    "Syria": "SY",
    "Türkiye": "TR",
    "United States": "US",
    "Vatican City": "VA",
}
"""Names of the same countries that TMDB has used at other times."""
_OTHER_LANGUAGES = {
    "Chinese": "zh",
    "Gallegan": "gl",
    "Kyrgyz": "ky",
    "Luxembourgish": "lb",
    "Pashto": "ps",
    "Uyghur": "ug",
}


def _read(entries: str) -> dict[str, str]:
    """By code: its name."""
    return {entry[:2]: entry[3:] for entry in entries.split("|")}


def _by_name(names: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """By `key_of` a name: its code, where it stands for one alone."""
    times = Counter(names.values())
    codes = {name: code for code, name in names.items() if times[name] == 1} | dict(others)
    return {key_of(name): code for name, code in codes.items()}


def key_of(name: str) -> str:
    """A name without what is of no account in it: capitals, and blanks beside others."""
    return " ".join(name.lower().split())


COUNTRY_NAMES: Mapping[str, str] = _read(_COUNTRIES)
"""By ISO 3166-1 code: TMDB's name of the country."""
LANGUAGE_NAMES: Mapping[str, str] = _read(_LANGUAGES)
"""By ISO 639-1 code: TMDB's name of the language."""
COUNTRY_CODES: Mapping[str, str] = _by_name(COUNTRY_NAMES, _OTHER_COUNTRIES)
"""By `key_of` a name: the country's code; names that stand for two are left out."""
LANGUAGE_CODES: Mapping[str, str] = _by_name(LANGUAGE_NAMES, _OTHER_LANGUAGES)
"""By `key_of` a name: the language's code; names that stand for two are left out."""
