/**
 * Given names that are common somewhere: in lower case, without diacritics. A column of people's names has many of them,
 * and few others have.
 */
export const givenNames: ReadonlySet<string> = new Set(
  `aaron ada adam adrian agnes ahmed aisha alan albert alejandro alex alexander alexandra alfred ali alice alicia alina
  amanda amelia amina amy ana anders andre andrea andreas andrew angela anita anja anna anne annette anthony antoine anton
  antonio arthur astrid barbara beatrice ben benjamin bernard betty birgit bjorn brandon brian bruno camille carla carlos
  carmen carol caroline catherine charles charlotte chen chiara chloe christian christina christine christopher claire
  clara claudia clement cynthia dan daniel daniela david deborah denise dennis diana diego dirk dmitri dominik donald
  donna dorothy edward elena elif elizabeth ella ellen emily emma emre eric erik ernst esther ethan eva evelyn fatima
  felix fernando florian frances francesca francesco francisco francois frank franz fredrik friedrich gabriel gabriela
  gary george gerard gerhard giovanni giulia giuseppe gloria grace grace gregory gustav hannah hans harold heather heidi
  heinz helen helena helga henri henry hiroshi hugo ian ibrahim ida inge ingrid irene isaac isabel isabella ivan jack
  jacob jacqueline james jan jane janet jason javier jean jennifer jens jeremy jessica jing joan joanna joao johan johannes
  john jonas jonathan jorge jose joseph joshua juan judith julia julian julie jurgen justin kai karen karin karl katarina
  katharina katherine kathleen keith kelly kenji kenneth kevin khalid klaus kumar lara larry lars laura lauren laurent
  lea leila lena leo leon leonie li lilly linda lisa louis louise luca lucas lucia lucy luis luisa lukas maja manfred
  manuel marc marco margaret maria marie marina mario marion mark markus marta martha martin martina mary mateo mathilde
  matteo matthew matthias maurice max maximilian megan mehmet melissa mia michael michelle miguel mikhail mohamed mohammed
  monica monika muhammad nadia nancy natalia natalie nathan nicholas nicolas nicole nikolai nina noah nora norbert oliver
  olga olivia oscar otto pablo pamela patricia patrick paul paula pedro peter petra philip philipp philippe pierre pietro
  priya rachel rafael rahul raj ralf raymond rebecca renate ricardo richard rita robert roberto roger roland ronald rosa
  rose roy ruth ryan sabine salma samantha samuel sandra santiago sara sarah scott sean sebastian sergei sergio sharon
  shirley silvia simon simone sofia sophia sophie stefan stefanie stephan stephanie stephen steven sunita susan susanne
  sven svetlana sylvia takashi tatiana teresa theo theresa thomas tim timothy tobias tom tomas tyler ulrich ursula uwe
  valentina vanessa vera veronica victor victoria viktor vincent virginia vladimir walter wei werner wilhelm william
  wolfgang xavier yan yasmin ying yuki yusuf yves yvonne zhang zoe`.split(/\s+/),
);
