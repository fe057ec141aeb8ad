package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/claviger/kms/audit"
)

func event() *audit.Event {
	return &audit.Event{
		Time: time.Date(2026, time.August, 10, 22, 38, 27, 0, time.UTC), Type: audit.APICall, Name: "Decrypt", Region: "us-east-1", Account: "111122223333",
		Identity: audit.Identity{Type: "IAMUser", ARN: "arn:aws:iam::111122223333:user/alice", AccountID: "111122223333", UserName: "alice"},
		ReadOnly: true, Request: []slog.Attr{slog.Any("encryptionContext", map[string]string{"tenant": "42"})},
	}
}

// A program keeps its trail in a file, which every operation waits for, and shows it in its log as far as the log takes it.
func Example() {
	var trail bytes.Buffer // in a program, a file
	sink := audit.Tee(
		audit.Required(audit.JSON(&trail), 5*time.Second),
		audit.BestEffort(audit.Slog(slog.New(slog.DiscardHandler)), time.Second, func(err error) { fmt.Println("lost:", err) }),
	)
	fmt.Println(sink.Append(context.Background(), event()))
	fmt.Println(bytes.Count(trail.Bytes(), []byte("\n")), "line")
	// Output:
	// lost: audit: sink unavailable: the logger is not enabled for level INFO
	// <nil>
	// 1 line
}

func ExampleMemory() {
	var trail audit.Memory
	if err := trail.Append(context.Background(), event()); err != nil {
		fmt.Println(err)
	}
	for _, e := range trail.Events() {
		fmt.Println(e.Name, e.Identity.ARN, e.ErrorCode == "")
	}
	// Output: Decrypt arn:aws:iam::111122223333:user/alice true
}

func ExampleSlog() {
	withoutIDs := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == "eventID" || a.Key == "requestID") {
			return slog.Attr{}
		}
		return a
	}}
	sink := audit.Slog(slog.New(slog.NewTextHandler(os.Stdout, withoutIDs)))
	if err := sink.Append(context.Background(), event()); err != nil {
		fmt.Println(err)
	}
	// Output: time=2026-08-10T22:38:27.000Z level=INFO msg=Decrypt eventType=AwsApiCall awsRegion=us-east-1 recipientAccountId=111122223333 readOnly=true userIdentity.type=IAMUser userIdentity.arn=arn:aws:iam::111122223333:user/alice userIdentity.accountId=111122223333 userIdentity.userName=alice requestParameters.encryptionContext=map[tenant:42] resources=[]
}
