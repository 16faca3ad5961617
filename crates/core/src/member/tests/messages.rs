use super::*;
use crate::content::Content;

#[test]
fn texts_go_both_ways() {
    let mut table = Table::of(&["alice", "bob"]);
    for (from, to, name) in [(0, 1, "alice"), (1, 0, "bob")] {
        let received = table.say(from, "hello");
        assert_eq!(received[from], [], "what somebody says himself comes back and means nothing");
        let heard = message(&received[to]);
        assert_eq!((&heard.sender, &heard.client), (&user(name), &client(name, "phone")));
        assert_eq!(heard.content.body.as_text(), Some("hello"));
    }
}

#[test]
fn p256_clients_talk_too() {
    let members = ["alice", "bob"].map(|name| Member::with_suite(client(name, "phone"), 2).unwrap());
    let mut table = Table::seated(Hub::new(2), members.into_iter().collect());
    let received = table.say(1, "hello");
    assert_eq!(message(&received[0]).content.body.as_text(), Some("hello"));
    assert!(matches!(message(&received[0]).franking, crate::franking::Franking::Verified(_)));
    table.assert_in_step();
}

#[test]
fn a_message_that_crossed_commits_is_read_up_to_three_epochs_later() {
    for (commits, readable) in [(1, true), (3, true), (4, false)] {
        let mut table = Table::of(&["alice", "bob"]);
        let request = table.members[1].text(&room(), "late").unwrap();
        for _ in 0..commits {
            let update = table.members[0].commit_pending(&room()).unwrap();
            table.accept(0, &update);
        }
        let fanout = table.franked(&request);
        assert_eq!(table.members[0].receive(&room(), &fanout).is_ok(), readable, "{commits} commits");
    }
}

#[test]
fn a_message_is_read_once() {
    let mut table = Table::of(&["alice", "bob"]);
    let request = table.members[1].text(&room(), "once").unwrap();
    let fanout = table.franked(&request);
    message(&table.members[0].receive(&room(), &fanout).unwrap());
    assert!(table.members[0].receive(&room(), &fanout).is_err());
}

#[test]
fn a_message_in_somebody_elses_name_or_of_another_room_is_dropped() {
    let mut table = Table::of(&["alice", "bob", "cathy"]);
    let elsewhere = RoomUri::parse("mimi://a.example/r/elsewhere").unwrap();
    let contents = [
        Content::text(&user("cathy"), &room(), "I quit", [1; 16]),
        Content::text(&user("bob"), &elsewhere, "not meant for here", [2; 16]),
    ];
    for content in contents {
        let request = table.members[1].encrypt(&room(), &content).unwrap();
        let fanout = table.franked(&request);
        assert!(matches!(table.members[0].receive(&room(), &fanout), Err(MemberError::Impostor)));
    }
    assert_eq!(message(&table.say(1, "fine")[0]).content.body.as_text(), Some("fine"));
}

#[test]
fn nothing_is_read_or_sent_in_a_room_one_is_not_in() {
    let mut table = Table::of(&["alice", "bob"]);
    let mut eve = member("eve");
    let request = table.members[1].text(&room(), "hello").unwrap();
    let fanout = table.franked(&request);
    assert!(matches!(eve.receive(&room(), &fanout), Err(MemberError::NotAMember(_))));
    assert!(matches!(eve.text(&room(), "hello"), Err(MemberError::NotAMember(_))));
}
