"""The built-in tasks of visible pictures."""

from __future__ import annotations

from lurefusion.prompts.phrases import ANY, FAULTS, LACK, NOT_GOOD, REDUCE, RESCUE
from lurefusion.prompts.tasks import Task

LOW_LIGHT = Task(
    key='ll',
    modality='vi',
    canonical='The visible image has low light, please brighten it.',
    defects=(
        'low light', 'a lack of light', 'weak illumination', 'poor lighting', 'underexposure', 'deep shadows',
        'insufficient brightness', 'the darkness of the night', 'dim lighting', 'low illumination',
        'a low brightness level', 'black areas without any light', 'the low light degradation',
        'night-time darkness', 'an exposure that is far too short', 'dark regions', 'too little light',
        'blackness that hides the people', 'hardly any light', 'no street lamps',
        'a scene without lamps at midnight',
    ),
    remedies=(
        'brighten {image}', 'lift the shadows of {image}', 'increase the brightness of {image}',
        'turn up the light in {image}', 'light up {image}', 'make {image} brighter', 'illuminate {image}',
        'raise the exposure of {image}', 'apply low-light enhancement to {image}', 'bring light into {image}',
        'recover the detail hidden in the dark', 'make the dark areas visible', 'amplify the low brightness',
        'relight {image}', 'show what hides in the shadows', 'boost the illumination of {image}',
        'lighten {image}', 'give {image} more light', 'make everything in {image} brighter',
    ),
    states=(
        'too dark', 'underexposed', 'dim', 'poorly lit', 'very dark', 'shot at night', 'gloomy', 'dark',
        'almost black', 'badly illuminated', 'not bright enough', 'lost in darkness', 'under-exposed',
        'taken in low light', 'starved of light', 'murky from lack of light',
        'black', 'dark as night', 'lit by almost nothing', 'much too dark to see the people',
    ),
    patterns=(
        r'\blow(?:er)?[- ]?(?:light|illuminat\w*|brightness)|under-?expos\w*|\btoo dark\b|\bdark(?:er|ness)?\b',
        r'\bnight|\bdim(?:ly)?\b|\bbrighten\w*|\bbrighter\b|\bgloomy\b|\brelight\w*|\blow[- ]light\b',
        r'\bpoor(?:ly)? (?:lit|light\w*|illuminat\w*)|\b(?:dim|badly|weakly) (?:lit|illuminated)\b',
        r"(?:\bnot|n't) (?:well|properly|bright|sufficiently)[- ](?:lit|exposed|illuminated|enough)\b",
        r'\b(?:lack(?:s|ing)?(?: of)?|too little|not enough|insufficient|weak) (?:light|bright|illuminat)\w*',
        r'\b(?:lift|open|raise|lighten)\w*(?: up)?(?: the)? shadows?\b|\blight up\b',
        r'\b(?:more|hardly any) light\b',
        r'\b(?:increas|rais|boost|improv)\w*(?: the| its){0,2} (?:brightness|illumination)\b',
        rf'{LACK} {ANY}(?:light(?:ing|s)?|glimmer|gleam|illumination|brightness|photons?|lamps?|'
        rf'lanterns?|bulbs?|'
        rf'candles?|'
        rf'moon|flash|daylight|luminance|sunlight)\b(?! (?:problem|issue))',
        r'\b(?:one|single) (?:\w+ )?(?:bulb|lamp|candle|lantern|torch)\b|\bcandle(?:light|lit)?\b|'
        r'\bmissing light\b',
        r"\bnot? (?:very|so|that|all that|particularly|really) bright\b|\bdark(?!en(?:s|ing)?\b)\w*|"
        r"\bblackness\b|\bblack as\b",
        r'\b(?:pitch|jet)[- ]?(?:black|dark)\b|\b(?:all|almost|nearly|completely|totally|entirely|mostly|'
        r'just|pure|'
        r'practically|virtually|(?:is|are|looks?|turned|went|goes)) black\b|\bsee(?:s|ing)? (?:only |'
        r'nothing but )?black\b',
        r'\bshadow(?:s|y|ed)?\b|\bgloom\w*|\bsomb(?:er|re)\b|\bdusky?\b|\btwilight\b|\bmidnight\b|\bevening\b|'
        r'\bnocturn\w*|\bmoon(?:light|lit|less)\b|\bstarlight\b|\bdimness\b|\bdimmed\b|\bunlit\b|'
        r'\bill[- ]lit\b',
        r'\bafter (?:sunset|sundown|nightfall|hours)\b|\bbefore (?:sunrise|dawn|daybreak)\b|\bnightfall\b|'
        r'\bsun (?:\w+ ){0,3}(?:set|down|gone)\b|\bsunset\b|\bmoon (?:is |was )?(?:hidden|behind)\b',
        # a wish; 'bright' alone complains
        r'^(?:(?:can|could) you )?(?:please )?make(?: (?!(?:too|so|less|not|as)\b)\w+){1,4} bright'
        r'(?: please| enough.*)?$|'
        r"(?<!not )(?<!n't )\b(?:want|like|prefer) (?:it|the \w+(?: \w+)?)(?: to be)? bright$|"
        r"(?<!not )(?<!n't )\b(?:want|like|need|give me) an? bright (?:picture|image|result|photo|view)\b|"
        r'\b(?:should|must) (?:be|look) bright$',
        r'\b(?:one|two|three|four|five|1|2|3|4|5) (?:o.?clock )?(?:in the morning|a\.?m\b)|\bat (?:11|'
        r'eleven) p\.?m\b',
        rf'\b(?:light|lighting|illumination|brightness){NOT_GOOD}|\bfooled by the (?:\w+ )?(?:lamp|light|'
        rf'sun|sky|snow|bright \w+)\b',
        r'\b(?:hardly|barely|scarcely|faintly|sparsely|weakly) (?:lit|illuminated)\b|'
        r'\bforg[eo]t\w*(?: \w+){0,4}? (?:flash|lights?|lamps?|torch)\b|'
        r'\bunder-?lit\b|\bunilluminated\b|\blights? out\b|\bcrushed (?:blacks|shadows)\b|\b(?:coal|'
        r'ink)[- ]?black\b|\blightless\b|\bstarry\b',
        r'没[开有]灯|关着?灯|灯[^,]{0,2}(?:没开|关了|坏了)',
        r'\b(?:car park|parking) (?:below|under)\b|\bunderground\b|\bdark(?:room|en?ed)\b|'
        r'\bblack of (?:the )?night\b|\bsee in the dark\b',
        r'\b(?:tunnel|cellar|basement|cave|mine shaft|dungeon|attic)\b|\bblack-?out\b|\bpower (?:cut|'
        r'failure|failed|outage)\b',
        r'\b(?:lamps?|lanterns?|lights?|headlights?|bulbs?|lighting)(?: (?:was|were|is|are|had|all)){0,2} '
        r'(?:off|out|broken|dead|failed|switched off|turned off)\b|\bblinds were\b',
        r'\b(?:shutter|exposure)(?: \w+){0,3} too (?:fast|short|brief|quick|low)\b|\blens cap\b|'
        r'\b(?:iris|aperture|diaphragm)(?: \w+){0,3} (?:closed|shut|too small|stopped|narrow)\b|'
        r'\bstopped down\b',
        r'\b(?:iso|gain|sensitivity)(?: \w+){0,4} (?:too|very|far) low\b|\blow (?:iso|gain)\b',
        r'\b(?:shed|throw|cast|bring|put|add|give|get|let|need)\w*(?: \w+){0,3}? (?:some |more |a little |'
        r'a bit of )+light\b|'
        r'\b(?:shed|throw|cast|needs?|let in|missing|wants?) light\b|\blighten\b|\blighter\b|'
        r'\billuminate\b|\blighten up\b',
        r'\b(?:push|rais|lift|increas|bump|crank|boost|turn|pull|step|bring)\w*(?: up)?(?: (?:the|its|my|'
        r'overall)){0,2} '
        r'(?:exposure|brightness|gamma|gain|luminance)(?: levels?)?(?!.{0,40}\bdown\b)\b|\b(?:exposure|'
        r'brightness) (?:\w+ ){0,3}?up\b',
        r'\b(?:look|appear)s? (?:like|as if it were|as in) (?:day\w*|noon|daytime)\b|\binto day\b|'
        r'\blamps were on\b',
        r'暗(?!角)|黑(?!白|体|热)|(?:光线|光照|亮度|照明|灯光|采光|照度|光)[^,过强]{0,4}?(?:不足|不够|弱|'
        r'差|低|缺|少)(?!一)|'
        r'(?:缺乏|缺少|没有?|无)(?:任何|什么|一点)?(?:光|路灯|灯|照明|月)|欠曝光?|曝光(?:严重)?(?:不足|'
        r'不够|太短|偏低)|'
        r'[低弱微]光照?|低照度|夜|凌晨|傍晚|黄昏|日落|天黑|[提增调打加照点]亮|补光|亮一[点些]|[更变]亮|亮起来|'
        r'(?:提高|提升|增加|增强|改善|加大)[^,]{0,6}?(?:亮度|光照|照明|曝光|照度)|不(?:太|够|怎么)?亮|隧道|'
        r'地下室|阴影|'
        r'快门[^,]{0,4}(?:太|过)[短快]|光圈[^,]{0,3}(?:太|过)小',
    ),
    hints=(
        r'\b(?:black|dusk|dim|light up|invisible|obscured?|sombre|late|dawn|murk|silhouettes?)\b|'
        r"(?:\b(?:not|never|hardly|barely|scarcely|nowhere near)|n't)(?: \w+){0,3} bright enough\b",
        r'看不[清见]|沉',
    ),
)  # fmt: skip

HAZE = Task(
    key='hz',
    modality='vi',
    canonical='The visible image is hazy, please remove the haze.',
    defects=(
        'haze', 'fog', 'a veil of haze', 'dense fog', 'mist', 'atmospheric scattering', 'smog', 'smoke',
        'a milky veil', 'thick haze in the distance', 'airlight', 'a foggy background', 'hazy weather',
        'the haze degradation', 'a grey layer of fog', 'misty air', 'fog that hides the distance',
        'bad visibility in the fog', 'smoke from a fire', 'morning mist', 'a foggy day', 'hills lost in haze',
    ),
    remedies=(
        'dehaze {image}', 'remove the haze from {image}', 'defog {image}', 'clear the fog from {image}',
        'take the mist out of {image}', 'apply haze removal to {image}', 'lift the veil of fog',
        'cut through the smoke in {image}', 'undo the atmospheric scattering in {image}', 'clear up the haze',
        'make the distant objects visible through the fog', 'restore the transmission of {image}',
        'wipe away the mist', 'strip the smog off {image}', 'suppress the airlight in {image}',
        'get the fog off {image}', 'clean the smoke out of {image}', 'give a clear view through the haze',
    ),
    states=(
        'hazy', 'foggy', 'misty', 'full of fog', 'covered by haze', 'veiled by mist', 'very hazy', 'smoky',
        'blurred by fog', 'milky from haze', 'hidden behind smoke', 'clouded by smog', 'fogged', 'haze-covered',
        'dull from the scattering air', 'shrouded in fog',
    ),
    patterns=(
        r'\b(?:de-?)?haz(?:e[sd]?|ier|y|iness|ing)\b|\b(?:de-?)?fog\w*|\bmist(?:s|y)?\b|\bsmog\w*|'
        r'\bsmok(?:e|y|ey)\b',
        r'\batmospheric scattering\b|\bairlight\b',
        r'\bblurr?\w* by (?:the )?(?:fog|haze|mist|smoke)\b|\b(?:unhaz|haz)\w*|\bsmok(?:ing|ed)\b',
        r'\b(?:vapou?r|steam|dust|aerosol|particulate|pollut|scatter|moist|humid)\w*|\bsand-? ?storm\b|'
        r'\b(?:veil|milk)\w*|'
        r'\bsea spray\b|\bdroplets\b|\bvolcanic ash\b|\bwisps?\b|\bwild-?fire|\b(?:bush|'
        r'forest)[- ]?fire\b|\bexhaust\b',
        r'\b(?:through|inside) (?:a |the )?clouds?\b|\btransmission\b',
        r'\b(?:turbid|brume|gauze|hazed|foggish|smothered|smokescreen)\b|\bfrosted glass\b',
        r'\b(?:thick|bad|dirty|moist|damp|murky|hot|turbid|heavy) air\b|\bair (?:is|was|'
        r'were)(?: \w+){0,3} (?:thick|bad|dirty|full|'
        r'heavy|damp|turbid)\b|\bdamp (?:morning|meadow|day|weather)\b|\bclear(?:er)? air\b',
        r'\b(?:poor|bad|low|limited|reduced|terrible|zero) visibility\b|\bvisibility (?:\w+ ){0,3}'
        r'(?:bad|poor|terrible|low|below|limited|reduced|awful|only)\b|\b(?:under|low|cloud of|in the|'
        r'bank of) clouds?\b|\bcloud (?:cover|bank)\b',
        r'\b(?:hills?|mountains?|horizon|skyline|towers?|ridges?|far bank|shore|coast|distance|'
        r'far end)(?: \w+){0,2} '
        r'(?:vanish|disappear|dissolv|fade|gone|lost|hidden|swallowed|drown)\w*|\bcut through the air\b',
        rf'\b(?:air|visibility|atmosphere|view){NOT_GOOD}|\b(?:curtain|blanket|shroud)(?:ed|s)?\b|\bfilms?\b|'
        rf'\bmurk(?:y|iness)?\b(?= of)|\bfumes?\b|\bcloudburst\b',
        r'(?:[去除消])?[云水浓薄烟]?[雾霾]|烟|沙尘|扬尘|尘土|粉尘|灰尘|水汽|蒸汽|能见度|通透|一层[薄白]?纱|'
        r'大气散射|白茫茫|远山',
    ),
    hints=(
        r'\b(?:gr[ea]yish|whitish|pale|faded|flat|dull|milky|hidden|distant|distance|far off|murky|'
        r'visibility|opaque|'
        r'unclear|cloudy|muted|drizzle)\b',
        r'灰蒙蒙|朦胧|发灰|灰|不清晰|不清楚',
    ),
)  # fmt: skip

OVER_EXPOSURE = Task(
    key='oe',
    modality='vi',
    canonical='The visible image is overexposed, please correct the exposure.',
    defects=(
        'overexposure', 'over-exposure', 'blown-out highlights', 'glare', 'saturated highlights',
        'excessive brightness', 'clipped whites', 'washed-out bright areas', 'too much light',
        'burnt highlights', 'an exposure that is far too long', 'the over-exposure degradation',
        'blinding brightness', 'white patches without texture', 'dazzling headlights', 'strong backlight glare',
        'a sky that is blown out', 'saturation by the sun', 'a blinding flash',
        'sunlight straight into the lens',
    ),
    remedies=(
        'correct the overexposure of {image}', 'tone down the highlights of {image}', 'darken {image} a little',
        'reduce the exposure of {image}', 'recover the blown-out highlights', 'lower the brightness of {image}',
        'remove the glare from {image}', 'bring back the clipped highlights', 'suppress the excessive light',
        'make {image} less bright', 'fix the over-exposed regions', 'restore the texture of the white areas',
        'compensate the overexposure', 'calm the dazzling lights in {image}', 'pull down the exposure',
        'take light away from {image}', 'get the burnt areas back', 'cut the strong sun in {image}',
    ),
    states=(
        'overexposed', 'over-exposed', 'too bright', 'washed out', 'blown out', 'far too bright', 'saturated',
        'burnt out', 'excessively bright', 'dazzling', 'clipped in the highlights', 'flooded with light',
        'almost white', 'full of glare', 'glaring', 'blinded by the light', 'white all over',
        'burned out by the sun',
    ),
    patterns=(
        r'\bover-?expos\w*|\bover exposed\b|\b(?:too|overly|excessively|very) bright\w*|\bwashed[- ]?out\b',
        r'\b(?:blown|burn(?:ed|t))[- ]?out\b|\bblown highlights\b|\bglar(?:e|ing)\b|\bexcessive bright\w*',
        r'\b(?:clipped|saturated|burnt) (?:highlights?|whites?)\b|\bhighlights are (?:clipped|burnt|blown)\b',
        r'\bdazzl\w*|\btoo much (?:light|exposure|brightness)\b',
        r'\b(?:reduc|lower|decreas)\w*(?: the| its){0,2} (?:exposure|brightness)\b|\bless bright\b',
        r'\b(?:tone|pull|bring) down the (?:highlights|exposure|brightness)\b|\brecover\w*(?: the)? highlights',
        r'\b(?:so|this|that|terribly|awfully|painfully|extremely|unbearably|blindingly|way|much|'
        r'really) bright\b|\bbleach\w*',
        r'\b(?:too|so) (?:much|strong|harsh|intense)(?: of)?(?: (?:a|the|direct|harsh)){0,2} (?:sun\w*|'
        r'light\w*|flash|exposure)\b|\bharsh (?:sun|light)\w*',
        r'\bburn(?:t|ed|s|ing)?(?: \w+)? (?:out|away)\b|\bblow(?:n|s|ing)?(?: \w+){0,2} out\b|\bburnt\b|'
        r'\bclipp(?:ed|ing)\b|'
        r'\bsaturat(?:ed|es|ing)\b|\bswamp(?:s|ed|ing)?\b|\bglar(?:es|ed|y)\b|\bblind(?:ed|s|ing)\b|'
        r'\bflar(?:e|es|ing)\b',
        r'\b(?:all|pure|completely|totally|entirely|just|nothing but|plain|turned|almost|nearly|one|goes|'
        r'went|solid)'
        r'(?: (?:big|single|large))?(?: (?:a|in))? white(?! (?:vapou?r|veil|fog|mist|haze|smoke|cloud|'
        r'wisp|curtain|blanket|shroud|film))\b|\bin white\b|\bwhite (?:blob|sheet|patch|area|hole)\w*|'
        r'\bwhite[- ]?out\b|'
        r'\bwhite all over\b',
        r'\b(?:sky|snow|shirts?|clouds?|whites?|window|lamp)(?: \w+){0,4} (?:no|lost|without|'
        r'lacks?)(?: \w+)? (?:texture|structure|detail)\b|'
        r'\bclouds? (?:is|are|has|have)(?: \w+)? gone\b|\bsky (?:is|has)(?: \w+)? gone\b',
        r'\b(?:into|against|towards?|facing) the (?:\w+ )?(?:sun|light|lamp|lamps|headlights?)\b|\b(?:spot|'
        r'flood|search)-?lights?\b|'
        r'\bback-?(?:lit|light\w*)\b|\bcontre[- ]jour\b|\b(?:high|full) beams?\b|\bhead-?lamps? (?:has|'
        r'have|is|are)\b',
        r'\b(?:sun|light|lamp|flash|beam)s?(?: \w+){0,6} (?:lens|sensor)\b|\bfull sun\w*|\bbright sun\w*|'
        r'\b(?:blazing|direct|low|strong|harsh|glaring) sun\w*|'
        r'\bsun (?:stood|burns?|blinds?|shone|shines|was shining|hits?|is too)\b|\bsun-?drenched\b|'
        r'\b(?:noon|midday)\b',
        r'\bflash (?:\w+ )?(?:fired|went off|was|hit|burn)\b|\bwelding\b|\breflections?\b|\blight meter\b|'
        r'\bspecular\b',
        r'\b(?:iris|aperture|diaphragm|shutter)(?: \w+){0,4} (?:open|too (?:large|wide|slow))\b|'
        r'\bexpos(?:ed|ure)(?: \w+){0,4} too (?:long|high|much)\b|\btoo long (?:an )?expos\w*',
        r'\b(?:iso|gain|sensitivity)(?: \w+){0,6} too high\b|\bsensor (?:at|beyond|past) its limit\b|'
        r'\bmore light than\b|\bthan the sensor can\b',
        rf'{RESCUE}(?: \w+){{0,3}}? (?:highlights?|glare|whites?|sky|clouds?|sun\w*|headl\w+|'
        rf'bright (?:\w+))\b',
        rf'{REDUCE}(?: \w+){{0,3}}? (?:bright\w*|lights?|exposure|luminance)\b|\b(?:turn|tone|dial|bring|'
        rf'pull|take) down(?: \w+){{0,2}} (?:lights?|brightness|exposure)\b',
        r'\b(?:drown|flood|bath|soak|swim)\w* (?:in|by|with) (?:(?:the|too much|bright|pure) )?(?:light|'
        r'white|sun\w*)\b|'
        r'\bsun(?:light|shine)?(?: \w+){0,5} (?:shone|shines?|shining|blazed|low|glared|at us|'
        r'at the camera)\b|\b(?:expos|shin|star|point|look|aim)\w*(?: \w+){0,2} (?:in|into|at|toward|'
        r'towards) the (?:\w+ )?sun\b',
        r'\btone(?: \w+){0,3}? down\b|\bdarken(?:s|ing)?\b|\b(?:make|render|turn|'
        r'get)(?: \w+){1,4} darker\b|\ba (?:bit|little|touch) darker\b|\bless (?:light|bright\w*|exposure|'
        r'sun)\b(?! than)|'
        r'\bexposure (?:\w+ ){0,2}down\b|\bdown (?:by )?(?:\w+ )?stops?\b|\bhurts? (?:the|my|your) eyes\b|'
        r'\bswallowed by (?:the )?(?:light|sun|lamp)\w*',
        r'\b(?:like|want|prefer|need|love)\b.{0,40}\bnot (?:so|that|as|too) bright\b|\bdim (?:the|it|this|'
        r'that|my|down)\b',
        r'\bat the (?:\w+ )?(?:sun|lamp|spotlight|headlights?)\b|\b(?:scorch|burn|bleach|drench|'
        r'blind)\w* by (?:the |a )?(?:\w+ )?(?:sun\w*|lights?|lamp|flash)\b|\bneutral density\b|'
        r'\bsaturation by\b|'
        r'\bnd filter\b',
        r'\bbright (?:clouds?|sky|skies|windows?|areas?|parts?|spots?|regions?|lights?|zones?|patch\w*)\b|'
        r'\b(?:blazing|glowing|incandescent|high-?key|overpowering|whitened)\b|\bstops? (?:too bright|'
        r'over)\b|'
        r'\bsun (?:is |was )?(?:in|inside) the (?:picture|frame|image|view|background|scene)\b',
        r'\bexcess(?:ive)?(?: of)? (?:light|bright\w*|illumination|exposure|sun\w*)\b|'
        r'\b(?:over-?)?luminous\b|\b(?:lost|drowned|drown|disappear|vanish)(?:s|ed)? in the (?:brightness|'
        r'light|glare|sun)\b',
        r'\b(?:turn|dial|bring|take|push|pull)\b.{0,50}? (?:brightness|exposure|light|'
        r'gain)\b.{0,40}?\bdown\b|\bfooled by the (?:dark \w+|shadows?)\b|\breflect(?:s|ing|ive)?\b|'
        r'\bmiddle of the day\b|\blight everywhere\b',
        r'\beaten away\b|\b(?:whites?|lights) (?:\w+ )?(?:eaten|eat)\b|\bsun-?(?:bleached|burnt|burned)\b|'
        r'\boverlit\b|\bover-?(?:bright|illuminated)\b|\btoo (?:white|luminous|shiny)\b',
        r'过曝光?|曝光[^,]{0,2}过[度强高长]|过度曝光|曝光(?:太|过于)[长强高]|(?:太|过|很|特别|非常|过于|'
        r'偏)亮|高光|[眩炫]光|强光|逆光|刺眼|晃眼|耀眼|反光|'
        r'(?:一片|[全纯死惨])白|溢出|饱和|光(?:线|照)?(?:太|过|过于)[强足]|(?:对着|正对着?|迎着|直射|面向|'
        r'朝着)[^,]{0,3}(?:太阳|阳光|灯)|太阳直射|阳光(?:太|直|强|过)|'
        r'快门[^,]{0,4}(?:太|过)[长慢]|光圈[^,]{0,3}(?:太|过|开)大|降低[^,]{0,6}(?:亮度|曝光)|(?:亮度|'
        r'曝光)[^,]{0,3}[降调减压]低?|[压调]暗|暗一[点些]|减[少弱][^,]{0,3}(?:光|亮度|曝光)',
    ),
    hints=(
        r'\b(?:pale|white|burned|bright|strong light|headlights?|headlamps?|texture|harsh)\b|\bwashed\b',
        r'发白|泛白|白',
    ),
)  # fmt: skip

BLUR = Task(
    key='bl',
    modality='vi',
    canonical='The visible image is blurred, please deblur it.',
    defects=(
        'blur', 'motion blur', 'camera shake', 'defocus', 'a blurry look', 'soft edges', 'a lack of focus',
        'smeared edges', 'defocus blur', 'unsharp contours', 'smeared motion', 'a wrong focus', 'Gaussian blur',
        'the blur degradation', 'a shaky camera', 'edges that are not sharp', 'a lens out of focus',
    ),
    remedies=(
        'deblur {image}', 'sharpen {image}', 'remove the blur from {image}', 'bring {image} into focus',
        'undo the camera shake in {image}', 'take the motion blur out of {image}', 'sharpen the edges',
        'make {image} sharp', 'refocus {image}', 'correct the defocus of {image}', 'sharpen the contours',
        'reverse the blur of {image}', 'run a deblurring step on {image}', 'make the edges of {image} crisp',
    ),
    states=(
        'blurred', 'blurry', 'out of focus', 'not sharp', 'unsharp', 'shaky', 'smeared', 'defocused',
        'blurred by motion', 'badly focused', 'motion-blurred', 'too soft', 'smeared by camera shake',
    ),
    patterns=(
        r'\b(?:out of|lack of|wrong|badly|poorly|bad|into) focus\w*|\brefocus\w*',
        r'\bmake (?:\w+ ){1,8}(?:sharp|crisp)\b',
        r"\b(?:re-?)?sharpen\w*|(?:\bnot|n't) (?:\w+ )?sharp\b|\bsoft edges\b|\b(?:is|too|very) soft\b",
        *FAULTS['blur'],
    ),
)  # fmt: skip

RAIN = Task(
    key='rn',
    modality='vi',
    canonical='The visible image was taken in rain, please remove the rain.',
    defects=(
        'rain', 'rain streaks', 'heavy rain', 'raindrops', 'drizzle', 'a downpour', 'streaks of rain',
        'rainfall', 'pouring rain', 'rainy weather', 'bright rain streaks', 'a rain shower',
        'the rain degradation', 'rain in front of the scene', 'a veil of rain', 'a rainy day',
    ),
    remedies=(
        'derain {image}', 'remove the rain from {image}', 'take the rain streaks out of {image}',
        'clear the rain from {image}', 'erase the raindrops in {image}', 'apply rain removal to {image}',
        'get rid of the rain', 'suppress the rain streaks of {image}', 'wipe the rain off {image}',
        'run a deraining step on {image}', 'make {image} look like it did before the rain', 'stop the rain',
        'see through the rain in {image}', 'filter the rain streaks out of {image}',
    ),
    states=(
        'rainy', 'full of rain', 'covered with rain streaks', 'taken in the rain', 'rained on',
        'shot in heavy rain', 'crossed by rain streaks', 'spoiled by rain', 'disturbed by raindrops',
    ),
    patterns=(
        r'\brain[- ]?(?:drop|fall|streak|storm)s?\b|\bveil of rain\b|\bdrizzl\w*|\bdownpour\b',
        *FAULTS['rain'],
    ),
)  # fmt: skip
